//! Tells the code whether the web UI has been built. A checkout without Node.js still builds, with a page that says how to get it.

use std::path::Path;

fn main() {
    let page = Path::new("../../web/dist/index.html");
    println!("cargo::rustc-check-cfg=cfg(anabranch_ui)");
    if page.is_file() {
        println!("cargo::rustc-cfg=anabranch_ui");
        println!("cargo::rerun-if-changed=../../web/dist");
    } else if Path::new("../../web").is_dir() {
        // A path that does not exist makes cargo run this script at every build, which is how the page is noticed.
        println!("cargo::rerun-if-changed=../../web/dist/index.html");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
