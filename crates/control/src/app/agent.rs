//! What a user agent tells of itself, as far as attendance asks: browser and system.

/// Browser and system by a user agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) browser: &'static str,
    pub(crate) os: &'static str,
}

/// Marks of browsers, the more telling ones first: most name those that they descend from as well.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("AppleCoreMedia/", "Apple player"),
    ("VLC/", "VLC"),
    ("LibVLC/", "VLC"),
    ("Lavf/", "FFmpeg"),
    ("mpv", "mpv"),
    ("GStreamer", "GStreamer"),
    ("ExoPlayer", "ExoPlayer"),
    ("Roku/", "Roku"),
    ("Version/", "Safari"),
    ("curl/", "curl"),
];

const SYSTEMS: &[(&str, &str)] = &[
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("Apple TV", "tvOS"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Macintosh", "macOS"),
    ("Tizen", "Tizen"),
    ("Web0S", "webOS"),
    ("Roku", "Roku OS"),
    ("Linux", "Linux"),
];

/// Reads a user agent; what is not known is empty.
pub(crate) fn read(text: &str) -> Agent {
    let find = |marks: &[(&'static str, &'static str)]| {
        marks.iter().find(|(mark, _)| text.contains(mark)).map_or("", |(_, name)| name)
    };
    Agent { browser: find(BROWSERS), os: find(SYSTEMS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_agents() {
        for (text, browser, os) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                "Chrome",
                "Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Edg/126.0",
                "Edge",
                "Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile Safari/604.1",
                "Safari",
                "iOS",
            ),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14.5; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox", "macOS"),
            ("Lavf/59.27.100", "FFmpeg", ""),
            ("", "", ""),
        ] {
            assert_eq!(read(text), Agent { browser, os }, "{text}");
        }
    }
}
