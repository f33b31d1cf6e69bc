//! The command line that speaks the API: noun, then verb.

mod address;
mod archive;
mod asset;
mod breakout;
mod bucket;
mod channel;
mod client;
mod cluster;
mod connection;
mod delivery;
mod events;
mod follow;
mod node;
mod operation;
mod output;
mod people;
mod request;
mod sign;
mod upload;
mod usage;
mod wait;
mod watch;

use anyhow::Result;
use clap::Subcommand;

use archive::{AccountVerb, EventVerb, JobVerb, RecordingVerb};
use asset::{AssetVerb, CollectionVerb};
use breakout::BreakoutVerb;
use bucket::{AccessKeyVerb, BucketVerb};
use channel::ChannelVerb;
use cluster::ClusterVerb;
use connection::Connection;
use delivery::{DistributionVerb, InvalidationVerb, KeyGroupVerb, KeyVerb};
pub(crate) use watch::{WatchArguments, watch};

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Live pipelines
    Channel {
        #[command(subcommand)]
        verb: ChannelVerb,
    },
    /// What host names serve
    Distribution {
        #[command(subcommand)]
        verb: DistributionVerb,
    },
    /// Orders to forget what edges keep
    Invalidation {
        #[command(subcommand)]
        verb: InvalidationVerb,
    },
    /// Live sessions that an audience watches
    Breakout {
        #[command(subcommand)]
        verb: BreakoutVerb,
    },
    /// Files on demand: what is made of them, and who may watch it
    Asset {
        #[command(subcommand)]
        verb: AssetVerb,
    },
    /// The same live stream in several regions, and which of them are open
    Cluster {
        #[command(subcommand)]
        verb: ClusterVerb,
    },
    /// Assets in an order, and who may watch them
    Collection {
        #[command(subcommand)]
        verb: CollectionVerb,
    },
    /// Where files are, and what becomes of them
    Bucket {
        #[command(subcommand)]
        verb: BucketVerb,
    },
    /// Keys of the S3-compatible endpoint
    AccessKey {
        #[command(subcommand)]
        verb: AccessKeyVerb,
    },
    /// What the archive kept of breakouts
    Recording {
        #[command(subcommand)]
        verb: RecordingVerb,
    },
    /// Work that goes on in the background
    Job {
        #[command(subcommand)]
        verb: JobVerb,
    },
    /// What several breakouts belong to
    Event {
        #[command(subcommand)]
        verb: EventVerb,
    },
    /// Whose events are billed together
    Account {
        #[command(subcommand)]
        verb: AccountVerb,
    },
    /// Keys that sign viewer URLs
    Key {
        #[command(subcommand)]
        verb: KeyVerb,
    },
    /// Processes that serve
    Node {
        #[command(subcommand)]
        verb: node::NodeVerb,
    },
    /// Keys that open what a distribution protects
    KeyGroup {
        #[command(subcommand)]
        verb: KeyGroupVerb,
    },
    /// What is and was done at the provider, step by step
    Operation {
        #[command(subcommand)]
        verb: operation::OperationVerb,
    },
    /// Sign a URL
    Sign(sign::SignArguments),
    /// What has happened, and what happens
    Log(events::LogArguments),
    /// Where the log is told
    Webhook {
        #[command(subcommand)]
        verb: events::WebhookVerb,
    },
    /// What was used: bytes, requests, viewers, time on air
    Usage(usage::UsageArguments),
    /// What it costs
    Charges {
        #[command(subcommand)]
        verb: usage::ChargesVerb,
    },
    /// The prices in force, and where each comes from
    Prices(Connection),
    /// Who watched, by what means, and how well
    Analytics(usage::AnalyticsArguments),
    /// What is going on, at one look
    Overview(Connection),
    /// How many records of each kind there are
    Counts(Connection),
    /// The configuration that the server acts by, without secrets
    Settings(Connection),
    /// Programs that may use the API
    Token {
        #[command(subcommand)]
        verb: events::TokenVerb,
    },
    /// People who log in, and what they may do
    User {
        #[command(subcommand)]
        verb: people::UserVerb,
    },
    /// Who is logged in
    Session {
        #[command(subcommand)]
        verb: people::SessionVerb,
    },
    /// Who asked for which change, when and from where
    Audit(people::AuditArguments),
}

/// Sends what the command asks and prints the answer.
pub(crate) fn run(command: ClientCommand) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            ClientCommand::AccessKey { verb } => bucket::access_key(verb).await,
            ClientCommand::Account { verb } => archive::account(verb).await,
            ClientCommand::Asset { verb } => asset::asset(verb).await,
            ClientCommand::Bucket { verb } => bucket::bucket(verb).await,
            ClientCommand::Cluster { verb } => cluster::cluster(verb).await,
            ClientCommand::Collection { verb } => asset::collection(verb).await,
            ClientCommand::Event { verb } => archive::event(verb).await,
            ClientCommand::Recording { verb } => archive::recording(verb).await,
            ClientCommand::Job { verb } => archive::job(verb).await,
            ClientCommand::Channel { verb } => channel::channel(verb).await,
            ClientCommand::Distribution { verb } => delivery::distribution(verb).await,
            ClientCommand::Invalidation { verb } => delivery::invalidation(verb).await,
            ClientCommand::Breakout { verb } => breakout::breakout(verb).await,
            ClientCommand::Key { verb } => delivery::key(verb).await,
            ClientCommand::KeyGroup { verb } => delivery::key_group(verb).await,
            ClientCommand::Node { verb } => node::node(verb).await,
            ClientCommand::Operation { verb } => operation::operation(verb).await,
            ClientCommand::Sign(arguments) => sign::sign(arguments).await,
            ClientCommand::Log(arguments) => events::log(arguments).await,
            ClientCommand::Webhook { verb } => events::webhook(verb).await,
            ClientCommand::Usage(arguments) => usage::usage(arguments).await,
            ClientCommand::Charges { verb } => usage::charges(verb).await,
            ClientCommand::Prices(connection) => usage::prices(connection).await,
            ClientCommand::Analytics(arguments) => usage::analytics(arguments).await,
            ClientCommand::Overview(connection) => usage::show(connection, "/v1/overview").await,
            ClientCommand::Counts(connection) => usage::counts(connection).await,
            ClientCommand::Settings(connection) => usage::show(connection, "/v1/settings").await,
            ClientCommand::Token { verb } => events::token(verb).await,
            ClientCommand::User { verb } => people::user(verb).await,
            ClientCommand::Session { verb } => people::session(verb).await,
            ClientCommand::Audit(arguments) => people::audit(arguments).await,
        }
    })
}
