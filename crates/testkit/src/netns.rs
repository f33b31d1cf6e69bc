//! Network namespaces: regions that are machines of their own as far as the network goes. Linux, `ip` and root only.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

/// Namespaces that there may be at once on one machine: each has a network of four addresses.
const PLACES: u32 = 8192;

/// A network namespace with an address of its own that this machine reaches, and that reaches nobody else. Gone when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    place: u32,
}

impl Namespace {
    /// Why there can be none here; nothing where there can.
    #[must_use]
    pub fn why_not() -> Option<String> {
        use std::os::unix::fs::MetadataExt as _;
        if std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() != 0) {
            return Some("network namespaces need root".to_owned());
        }
        let probe = format!("anb-probe-{}", std::process::id());
        let made = ip(&["netns", "add", &probe]).and_then(|()| ip(&["netns", "del", &probe]));
        made.err().map(|why| format!("network namespaces cannot be made: {why}"))
    }

    /// A new one, on the network.
    ///
    /// # Panics
    /// [`Namespace::why_not`] has a reason.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let first = std::process::id().wrapping_mul(31);
        for _ in 0..64 {
            let place = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PLACES;
            let new = Self { name: format!("anb{place}"), place };
            // Another test's, which is left alone.
            if ip(&["netns", "add", &new.name]).is_err() {
                std::mem::forget(new);
                continue;
            }
            new.build();
            return new;
        }
        panic!("no free place for a network namespace");
    }

    fn build(&self) {
        let (near, far) = (self.near(), format!("{}f", self.name));
        let (here, there) = (format!("{}/30", self.host()), format!("{}/30", self.address()));
        let _ = ip(&["link", "del", &near]);
        for line in [
            &["link", "add", &near, "type", "veth", "peer", "name", &far][..],
            &["link", "set", &far, "netns", &self.name],
            &["addr", "add", &here, "dev", &near],
            &["link", "set", &near, "up"],
            &["-n", &self.name, "link", "set", &far, "name", "up0"],
            &["-n", &self.name, "addr", "add", &there, "dev", "up0"],
            &["-n", &self.name, "link", "set", "lo", "up"],
            &["-n", &self.name, "link", "set", "up0", "up"],
        ] {
            ip(line).unwrap_or_else(|why| panic!("ip {}: {why}", line.join(" ")));
        }
    }

    fn near(&self) -> String {
        format!("{}n", self.name)
    }

    fn host(&self) -> Ipv4Addr {
        self.at(1)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.at(2)
    }

    fn at(&self, last: u8) -> Ipv4Addr {
        let [_, _, high, low] = self.place.to_be_bytes();
        Ipv4Addr::new(10, 200 + high, low, last)
    }

    /// A program that runs inside.
    #[must_use]
    pub fn command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Does something inside: sockets that are made there, and threads that are begun there, stay inside.
    ///
    /// # Panics
    /// The namespace cannot be entered, or `what` panics.
    pub fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name)).expect("a namespace");
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(file.as_fd(), CloneFlags::CLONE_NEWNET).expect("to enter a namespace");
                what()
            });
            inside.join().expect("what is done inside not to panic")
        })
    }

    /// Cuts it off from this machine, or connects it again. Links to other namespaces stay.
    pub fn connect(&self, up: bool) {
        let _ = ip(&["link", "set", &self.near(), if up { "up" } else { "down" }]);
    }

    /// Has all that goes from here to a TCP address, or comes to it when it is one of here, fall into the void, or not any more. So one
    /// program of several may be as good as dead to all others, while they go on.
    ///
    /// # Panics
    /// The rules of the namespace cannot be changed.
    pub fn silence(&self, at: SocketAddrV4, silent: bool) {
        let inside = |arguments: &[&str]| ip(&[&["-n", self.name.as_str()], arguments].concat());
        // What is of here is looked up before all rules, unless that rule comes later. The second time there is nothing to be done.
        if inside(&["rule", "add", "pref", "100", "lookup", "local"]).is_ok() {
            let _ = inside(&["rule", "del", "pref", "0"]);
        }
        let (to, port) = (at.ip().to_string(), at.port().to_string());
        let verb = if silent { "add" } else { "del" };
        let rule = ["rule", verb, "pref", "50", "to", &to, "ipproto", "tcp", "dport", &port, "unreachable"];
        inside(&rule).unwrap_or_else(|why| panic!("ip {}: {why}", rule.join(" ")));
    }

    /// A cable to another one.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn link(&self, other: &Self) -> Link {
        let (one, two) = (format!("{}x", self.name), format!("{}x", other.name));
        let (near, far) = (format!("to{}", other.place), format!("to{}", self.place));
        let _ = ip(&["link", "del", &one]);
        for line in [
            &["link", "add", &one, "type", "veth", "peer", "name", &two][..],
            &["link", "set", &one, "netns", &self.name],
            &["link", "set", &two, "netns", &other.name],
            &["-n", &self.name, "link", "set", &one, "name", &near],
            &["-n", &other.name, "link", "set", &two, "name", &far],
        ] {
            ip(line).unwrap_or_else(|why| panic!("ip {}: {why}", line.join(" ")));
        }
        let end = |of: &Self, device: &str, to: &Self| End {
            namespace: of.name.clone(),
            device: device.to_owned(),
            from: of.address().to_string(),
            to: to.address().to_string(),
        };
        let link = Link { ends: [end(self, &near, other), end(other, &far, self)] };
        link.connect(true);
        link
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its end of the pair takes the other with it.
        let _ = ip(&["link", "del", &self.near()]);
        let _ = ip(&["netns", "del", &self.name]);
    }
}

/// A cable between two namespaces.
#[derive(Debug)]
pub struct Link {
    ends: [End; 2],
}

#[derive(Debug)]
struct End {
    namespace: String,
    device: String,
    from: String,
    to: String,
}

impl Link {
    /// Pulls the cable, or plugs it in.
    ///
    /// # Panics
    /// It cannot be plugged in.
    pub fn connect(&self, up: bool) {
        for End { namespace, device, .. } in &self.ends {
            let state = if up { "up" } else { "down" };
            ip(&["-n", namespace, "link", "set", device, state]).expect("a device");
        }
        // A device that goes down loses its routes.
        for End { namespace, device, from, to } in self.ends.iter().filter(|_| up) {
            ip(&["-n", namespace, "route", "replace", to, "dev", device, "src", from]).expect("a route");
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(arguments).output().map_err(|error| format!("ip: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
}
