//! One large object through the endpoint against the disk's own: `cargo bench -p anabranch-s3 -- [MiB]`.
//!
//! `curl` sends and fetches it by presigned URLs; `dd conv=fsync` and `cat` do the same without us. What the process needed of memory is
//! told at the end. Clients are those of `cargo xtask test`.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anabranch_net::Shutdown;
use anabranch_s3::{Access, AccessError, AccessKey, Config, Endpoint, Level, Rights};
use anabranch_store::{Buckets, LocalStore};

/// Runs of each; the median is told.
const RUNS: usize = 3;

#[derive(Debug)]
struct OneKey;

#[async_trait::async_trait]
impl Access for OneKey {
    async fn key(&self, _: &str) -> Result<Option<AccessKey>, AccessError> {
        Ok(Some(AccessKey { secret: "secret".to_owned(), rights: Rights::all(Level::Manage) }))
    }
}

fn main() {
    let mib: usize = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1024);
    let dir = tempfile::tempdir_in(".").expect("a scratch directory");
    let file = dir.path().join("body");
    let random = format!("head -c {mib}M /dev/urandom > '{}'", file.display());
    shell(&random);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _entered = runtime.enter();
    let store = LocalStore::open(&dir.path().join("store"), 0).expect("a store");
    let buckets = Buckets::new(store, None);
    runtime.block_on(buckets.bucket_create("inbox")).expect("a bucket");
    let endpoint = Endpoint::bind(Config::new(([127, 0, 0, 1], 0).into()), buckets, Arc::new(OneKey)).expect("a port");
    let url = format!("http://{}", endpoint.local_addr().expect("an address"));
    let shutdown = Shutdown::new();
    let serving = runtime.spawn(endpoint.run(shutdown.clone()));
    let (put, get) = (presigned(&url, "put_object"), presigned(&url, "get_object"));

    let path = file.display();
    let copy = dir.path().join("copy");
    let disk_put = time(mib, &format!("dd if='{path}' of='{}' bs=1M conv=fsync status=none", copy.display()));
    let ours_put = time(mib, &format!("curl -sS --fail -T '{path}' '{put}'"));
    let disk_get = time(mib, &format!("cat '{path}' > /dev/null"));
    let pipe_get = time(mib, &format!("cat '{path}' | cat > /dev/null"));
    let ours_get = time(mib, &format!("curl -sS --fail -o /dev/null '{get}'"));
    let parts = time(
        mib,
        &format!(
            "AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=secret AWS_DEFAULT_REGION=us-east-1 '{}' --endpoint-url {url} s3 cp --quiet '{path}' s3://inbox/parts",
            python("aws")
        ),
    );
    println!("{mib} MiB, median of {RUNS}, MiB/s");
    println!("put: dd conv=fsync {disk_put:.0}, endpoint {ours_put:.0} ({:.2})", ours_put / disk_put);
    println!("put in parts by the AWS CLI: {parts:.0} ({:.2})", parts / disk_put);
    println!(
        "get: cat {disk_get:.0}, through a pipe {pipe_get:.0}, endpoint {ours_get:.0} ({:.2})",
        ours_get / disk_get
    );
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's state");
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM is not told"));
    shutdown.cancel();
    runtime.block_on(serving).expect("an end");
}

fn python(program: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/signers/.venv/bin");
    root.join(program).display().to_string()
}

fn presigned(url: &str, operation: &str) -> String {
    let script = format!(
        "import boto3\nfrom botocore.config import Config\n\
         c=boto3.client('s3',endpoint_url='{url}',aws_access_key_id='x',aws_secret_access_key='secret',region_name='us-east-1',\
         config=Config(signature_version='s3v4',s3={{'addressing_style':'path'}}))\n\
         print(c.generate_presigned_url('{operation}',Params={{'Bucket':'inbox','Key':'body'}},ExpiresIn=3600))"
    );
    let output = Command::new(python("python")).args(["-c", &script]).output().expect("python of the tests");
    String::from_utf8(output.stdout).expect("a URL").trim().to_owned()
}

/// MiB a second, the median of all runs.
fn time(mib: usize, command: &str) -> f64 {
    let mut speeds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            shell(command);
            mib as f64 / begun.elapsed().as_secs_f64()
        })
        .collect();
    speeds.sort_by(f64::total_cmp);
    speeds[RUNS / 2]
}

fn shell(command: &str) {
    let status = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).status().expect("a shell");
    assert!(status.success(), "{command}");
}
