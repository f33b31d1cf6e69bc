//! The room law: which room may use which. An edge that is not here does not exist; see `docs/adr/`.

/// A room and the rooms that it may use.
pub(crate) struct Room {
    pub(crate) name: &'static str,
    pub(crate) uses: Uses,
}

/// What a room may use of ours.
pub(crate) enum Uses {
    These(&'static [&'static str]),
    /// Everything: the binary, which joins the rooms, and what only tests use.
    All,
}

use Uses::{All, These};

/// The whole plan. A crate of the workspace that is missing here fails the check.
pub(crate) const ROOMS: &[Room] = &[
    // pure: never each other
    Room { name: "media", uses: These(&[]) },
    Room { name: "hls", uses: These(&[]) },
    Room { name: "http-cache", uses: These(&[]) },
    Room { name: "signing", uses: These(&[]) },
    // contract
    Room { name: "model", uses: These(&[]) },
    // languages of the contract: no I/O
    Room { name: "cloudfront", uses: These(&["model"]) },
    // doors
    Room { name: "net", uses: These(&[]) },
    Room { name: "store", uses: These(&[]) },
    Room { name: "db", uses: These(&["model"]) },
    Room { name: "provider", uses: These(&["model"]) },
    // What becomes of a cluster's regions is judged by values; rows and HTTP of the API are not its matter.
    Room { name: "cluster", uses: These(&["hls", "model", "net"]) },
    // workers: never each other
    Room { name: "ingest", uses: These(&["media", "model", "net"]) },
    Room { name: "packager", uses: These(&["media", "hls", "model", "store", "net"]) },
    Room { name: "origin", uses: These(&["hls", "model", "store", "net"]) },
    Room { name: "s3", uses: These(&["model", "store", "net"]) },
    Room { name: "transcode", uses: These(&["media", "hls", "model"]) },
    Room { name: "edge", uses: These(&["http-cache", "signing", "model", "net"]) },
    Room {
        name: "control",
        uses: These(&["model", "cloudfront", "cluster", "db", "provider", "signing", "store", "net"]),
    },
    // house
    Room { name: "anabranch", uses: All },
    // tests
    Room { name: TESTKIT, uses: All },
];

/// Only ever a dev-dependency, and then of anyone.
pub(crate) const TESTKIT: &str = "testkit";

/// Rooms that tests of any room may use beside the room's own: no I/O, so no test grows a second worker.
pub(crate) const DEV_ANYWHERE: &[&str] = &["media", "hls", "http-cache", "signing"];

/// Workspace members that are no rooms.
pub(crate) const NOT_ROOMS: &[&str] = &["xtask", "anabranch-scenarios"];

/// Crates by the start of their name that only one room may use.
pub(crate) const FENCED: &[(&str, &str)] =
    &[("aws-sdk-", "provider-aws"), ("aws-config", "provider-aws"), ("sqlx", "db")];

/// Crates that may not be linked: a second crypto provider, or one that the machine has to bring.
pub(crate) const BANNED: &[&str] = &["ring", "openssl-sys", "native-tls"];

/// Lines of a source file, above which it is named.
pub(crate) const MAX_LINES: usize = 600;

/// Lines of a room card at most.
pub(crate) const MAX_CARD_LINES: usize = 15;

/// The room's name without the prefix of the packages.
pub(crate) fn room_name(package: &str) -> &str {
    package.strip_prefix("anabranch-").unwrap_or(package)
}
