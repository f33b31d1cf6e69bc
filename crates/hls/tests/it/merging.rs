//! Playlists of several regions as one.

use std::collections::{BTreeMap, BTreeSet};

use anabranch_hls::merge::{MergeError, Region, Steering, VARIANTS_MAX, merge};
use anabranch_hls::playlist::{MultivariantPlaylist, RenditionMedia, Variant};
use proptest::prelude::*;

const FRA: &str = "https://fra.example/live/c1/index.m3u8?t=1";
const NYC: &str = "http://nyc.example:8443/x/index.m3u8";

fn parsed(text: &str) -> MultivariantPlaylist {
    MultivariantPlaylist::parse(format!("#EXTM3U\n{text}").as_bytes()).unwrap()
}

/// Merges `fra` and `nyc`, in that order.
fn both(fra: &str, nyc: &str) -> Result<MultivariantPlaylist, MergeError> {
    let (fra, nyc) = (parsed(fra), parsed(nyc));
    let regions =
        [Region { name: "nyc", base: NYC, playlist: &nyc }, Region { name: "fra", base: FRA, playlist: &fra }];
    merge(&regions, &["fra", "away", "nyc"], None)
}

fn text(fra: &str, nyc: &str) -> String {
    both(fra, nyc).unwrap().render()
}

fn uris(playlist: &MultivariantPlaylist) -> Vec<&str> {
    playlist.variants.iter().map(|variant| variant.uri.as_str()).collect()
}

/// A ladder: bandwidth and height of each rung, and its URI.
fn ladder(rungs: &[(u64, u32, &str)]) -> String {
    let rung = |&(bandwidth, height, uri): &(u64, u32, &str)| {
        let width = height * 16 / 9;
        format!("#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},CODECS=\"avc1.64001f\",RESOLUTION={width}x{height}\n{uri}\n")
    };
    rungs.iter().map(rung).collect()
}

const FULL: &str = "#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n# a comment\n\
    #EXT-X-START:TIME-OFFSET=-9\n\
    #EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"key\",KEYFORMAT=\"identity\"\n\
    #EXT-X-SESSION-DATA:DATA-ID=\"title\",VALUE=\"A\"\n\
    #EXT-X-FOO:URI=\"foo.json\",A=1\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"English\",DEFAULT=YES,AUTOSELECT=YES,LANGUAGE=\"en\",URI=\"../en.m3u8\"\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"French\",DEFAULT=NO,AUTOSELECT=YES,LANGUAGE=\"fr\",URI=\"fr.m3u8\"\n\
    #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"CC\",DEFAULT=NO,AUTOSELECT=NO,INSTREAM-ID=\"CC1\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=3000,AVERAGE-BANDWIDTH=2500,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO=\"aac\",CLOSED-CAPTIONS=\"cc\"\n\
    720.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1.64001e,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=30.000,AUDIO=\"aac\",CLOSED-CAPTIONS=NONE\n\
    /abs/360.m3u8?x#y\n\
    #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=300,CODECS=\"avc1.64001f\",RESOLUTION=1280x720,URI=\"720i.m3u8\"\n\
    #EXT-X-IMAGE-STREAM-INF:BANDWIDTH=30,CODECS=\"jpeg\",RESOLUTION=128x72,URI=\"pictures.m3u8\"\n";

#[test]
fn two_regions_alike() {
    let nyc = FULL
        .replace("VERSION:6", "VERSION:7")
        .replace("BANDWIDTH=3000,AVERAGE-BANDWIDTH=2500", "BANDWIDTH=3100,AVERAGE-BANDWIDTH=2400")
        .replace("FRAME-RATE=30.000", "FRAME-RATE=29.970")
        .replace("\"avc1.64001f,mp4a.40.2\"", "\"mp4a.40.2,avc1.64001F\"")
        .replace("VALUE=\"A\"", "VALUE=\"B\"")
        .replace("TIME-OFFSET=-9", "TIME-OFFSET=-8");
    let expected = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\
        #EXT-X-START:TIME-OFFSET=-9\n\
        #EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"https://fra.example/live/c1/key\",KEYFORMAT=\"identity\"\n\
        #EXT-X-SESSION-DATA:DATA-ID=\"title\",VALUE=\"A\"\n\
        #EXT-X-FOO:URI=\"https://fra.example/live/c1/foo.json\",A=1\n\
        #EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"http://nyc.example:8443/x/key\",KEYFORMAT=\"identity\"\n\
        #EXT-X-FOO:URI=\"http://nyc.example:8443/x/foo.json\",A=1\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"fra/aac\",NAME=\"English\",DEFAULT=YES,AUTOSELECT=YES,LANGUAGE=\"en\",URI=\"https://fra.example/live/en.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"fra/aac\",NAME=\"French\",DEFAULT=NO,AUTOSELECT=YES,LANGUAGE=\"fr\",URI=\"https://fra.example/live/c1/fr.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"fra/cc\",NAME=\"CC\",DEFAULT=NO,AUTOSELECT=NO,INSTREAM-ID=\"CC1\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"nyc/aac\",NAME=\"English\",DEFAULT=YES,AUTOSELECT=YES,LANGUAGE=\"en\",URI=\"http://nyc.example:8443/en.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"nyc/aac\",NAME=\"French\",DEFAULT=NO,AUTOSELECT=YES,LANGUAGE=\"fr\",URI=\"http://nyc.example:8443/x/fr.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"nyc/cc\",NAME=\"CC\",DEFAULT=NO,AUTOSELECT=NO,INSTREAM-ID=\"CC1\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=3100,AVERAGE-BANDWIDTH=2500,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO=\"fra/aac\",CLOSED-CAPTIONS=\"fra/cc\"\n\
        https://fra.example/live/c1/720.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=3100,AVERAGE-BANDWIDTH=2500,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO=\"nyc/aac\",CLOSED-CAPTIONS=\"nyc/cc\"\n\
        http://nyc.example:8443/x/720.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1.64001e,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=30.000,AUDIO=\"fra/aac\"\n\
        https://fra.example/abs/360.m3u8?x#y\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"avc1.64001e,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=30.000,AUDIO=\"nyc/aac\"\n\
        http://nyc.example:8443/abs/360.m3u8?x#y\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=300,CODECS=\"avc1.64001f\",RESOLUTION=1280x720,URI=\"https://fra.example/live/c1/720i.m3u8\"\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=300,CODECS=\"avc1.64001f\",RESOLUTION=1280x720,URI=\"http://nyc.example:8443/x/720i.m3u8\"\n\
        #EXT-X-IMAGE-STREAM-INF:BANDWIDTH=30,CODECS=\"jpeg\",RESOLUTION=128x72,URI=\"https://fra.example/live/c1/pictures.m3u8\"\n\
        #EXT-X-IMAGE-STREAM-INF:BANDWIDTH=30,CODECS=\"jpeg\",RESOLUTION=128x72,URI=\"http://nyc.example:8443/x/pictures.m3u8\"\n";
    assert_eq!(text(FULL, &nyc), expected);
}

#[test]
fn with_steering_each_variant_is_of_its_regions_pathway() {
    let (fra, nyc) = (parsed(FULL), parsed(&FULL.replace("AUDIO=\"aac\"", "AUDIO=\"aac\",PATHWAY-ID=\"old\"")));
    let regions =
        [Region { name: "fra", base: FRA, playlist: &fra }, Region { name: "nyc", base: NYC, playlist: &nyc }];
    let steering = Steering { server_uri: "steering.json", pathway: None };
    let merged = merge(&regions, &[], Some(&steering)).unwrap();
    assert!(
        merged.other.contains(&"#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering.json\",PATHWAY-ID=\"fra\"".to_owned())
    );
    let pathway = |attributes: &[(String, String)]| {
        let mut found = attributes.iter().filter(|(name, _)| name == "PATHWAY-ID").map(|(_, value)| value.clone());
        (found.next(), found.next())
    };
    for (variant, region) in merged.variants.iter().zip(["fra", "nyc", "fra", "nyc"]) {
        assert_eq!(pathway(&variant.attributes), (Some(format!("\"{region}\"")), None));
        assert!(variant.uri.contains(region) && variant.audio.as_ref().unwrap().starts_with(region));
    }
    let seeking: Vec<&String> = merged.other.iter().filter(|line| line.contains("PATHWAY-ID=\"nyc\"")).collect();
    assert_eq!(seeking.len(), 2, "{:?}", merged.other);

    let begin = |pathway| merge(&regions, &[], Some(&Steering { server_uri: "s", pathway: Some(pathway) }));
    assert!(begin("nyc").unwrap().render().contains("SERVER-URI=\"s\",PATHWAY-ID=\"nyc\""));
    assert_eq!(begin("away"), Err(MergeError::Steering("away".to_owned())));
    let hostile = Steering { server_uri: "s\"\n", pathway: None };
    assert!(matches!(merge(&regions, &[], Some(&hostile)), Err(MergeError::Steering(_))));
    // A region's own steering leads nowhere here.
    let own = parsed("#EXT-X-CONTENT-STEERING:SERVER-URI=\"own\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"a\"\nv\n");
    let merged = merge(&[Region { name: "fra", base: FRA, playlist: &own }], &[], None).unwrap();
    assert_eq!(merged.render(), "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttps://fra.example/live/c1/v\n");
}

#[test]
fn a_region_that_is_absent_is_as_if_it_had_never_been() {
    let fra = parsed(FULL);
    let alone = [Region { name: "fra", base: FRA, playlist: &fra }];
    let merged = merge(&alone, &["fra"], None).unwrap();
    assert_eq!(merge(&alone, &["nyc", "fra", "sin"], None).unwrap(), merged);
    assert_eq!(merge(&alone, &[], None).unwrap(), merged);
    assert_eq!((merged.variants.len(), merged.independent_segments), (2, true));
    assert_eq!(merged.variants[0].bandwidth, 3000);
}

#[test]
fn unequal_ladders() {
    let places = |fra: &str, nyc: &str| {
        let merged = both(fra, nyc).unwrap();
        uris(&merged).iter().map(|uri| uri.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let up = ladder(&[(1000, 360, "a"), (3000, 720, "b"), (6000, 1080, "c")]);
    let down = ladder(&[(6000, 1080, "c"), (3000, 720, "b"), (1000, 360, "a")]);
    // The first region's order, whatever the others'.
    assert_eq!(places(&up, &down), "a a b b c c");
    assert_eq!(places(&down, &up), "c c b b a a");
    // What only one has, by its bandwidth, and never first.
    let more = ladder(&[(9000, 2160, "z"), (3000, 720, "B"), (500, 240, "y"), (2000, 480, "x")]);
    assert_eq!(places(&up, &more), "a y x b B c z");
    assert_eq!(places(&down, &more), "c z b B x a y");
    assert_eq!(places(&more, &up), "z c B b a y x");
    // The first may stand apart, to begin with.
    let middle = ladder(&[(3000, 720, "b"), (1000, 360, "a"), (6000, 1080, "c"), (8000, 1440, "d")]);
    assert_eq!(places(&middle, &ladder(&[(2000, 480, "x")])), "b a x c d");
    // Nearest bandwidths make pairs, and each is matched once.
    let two = ladder(&[(4000, 1080, "a"), (6000, 1080, "b")]);
    assert_eq!(places(&two, &ladder(&[(5900, 1080, "B"), (4100, 1080, "A")])), "a A b B");
    assert_eq!(places(&two, &ladder(&[(4100, 1080, "A")])), "a A b");
    assert_eq!(places(&two, &ladder(&[(4100, 1080, "A"), (4200, 1080, "X")])), "a A b X");
    // More than twice as fast is another rung.
    assert_eq!(places(&ladder(&[(1000, 360, "a"), (1500, 360, "b")]), &ladder(&[(3100, 360, "c")])), "a b c");
    // Other codecs are another rung.
    let hevc = ladder(&[(1000, 360, "h")]).replace("avc1.64001f", "hvc1.1.6.L93.B0");
    assert_eq!(places(&up, &hevc), "a h b c");
}

#[test]
fn only_what_is_near_is_made_alike() {
    let rates = |fra: u64, nyc: u64| {
        let merged = both(&ladder(&[(fra, 720, "a")]), &ladder(&[(nyc, 720, "b")])).unwrap();
        (merged.variants[0].bandwidth, merged.variants[1].bandwidth)
    };
    assert_eq!(rates(1000, 1250), (1250, 1250));
    assert_eq!(rates(1250, 1000), (1250, 1250));
    assert_eq!(rates(1000, 1251), (1000, 1251));
    assert_eq!(rates(0, 0), (0, 0));
    assert_eq!(rates(u64::MAX, u64::MAX), (u64::MAX, u64::MAX));
}

#[test]
fn header_rules() {
    let v = "#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n";
    let independent = format!("#EXT-X-INDEPENDENT-SEGMENTS\n{v}");
    assert!(both(&independent, &independent).unwrap().independent_segments);
    assert!(!both(&independent, v).unwrap().independent_segments);
    assert_eq!(both(v, v).unwrap().version, None);
    assert_eq!(both(v, &format!("#EXT-X-VERSION:5\n{v}")).unwrap().version, Some(5));
    // What leads nowhere is the first region's; what cannot be understood and leads somewhere is nobody's.
    let odd = |name: &str| format!("#EXT-X-ODD\n#EXT-X-{name}:1\n#EXT-X-X:flag,URI=\"rel\"\n{v}");
    let merged = both(&odd("FRA"), &odd("NYC")).unwrap();
    assert_eq!(merged.other, ["#EXT-X-ODD", "#EXT-X-FRA:1"]);
    // The same key of both regions stands once, and so do data of one name and language.
    let session = "#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://k\"\n\
        #EXT-X-SESSION-DATA:DATA-ID=\"d\",LANGUAGE=\"en\",URI=\"d.json\"\n#EXT-X-SESSION-DATA:DATA-ID=\"d\",LANGUAGE=\"fr\",VALUE=\"f\"\n";
    let merged = both(&format!("{session}{v}"), &format!("{session}{v}")).unwrap();
    assert_eq!(
        merged.other,
        [
            "#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://k\"",
            "#EXT-X-SESSION-DATA:DATA-ID=\"d\",LANGUAGE=\"en\",URI=\"https://fra.example/live/c1/d.json\"",
            "#EXT-X-SESSION-DATA:DATA-ID=\"d\",LANGUAGE=\"fr\",VALUE=\"f\"",
        ]
    );
}

#[test]
fn what_has_no_place_in_a_multivariant_playlist_goes_no_further() {
    let v = "#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n";
    let odd = format!(
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0\n#EXT-X-PART-INF:PART-TARGET=0.33\n\
         #EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p\"\n\
         #EXT-X-CONTENT-STEERING:SERVER-URI=\"own.json\"\n#EXT-X-ODD:A=1\n{v}"
    );
    assert_eq!(both(&odd, &odd).unwrap().other, ["#EXT-X-ODD:A=1"]);
    assert_eq!(both(v, &odd).unwrap().other, Vec::<String>::new());
}

#[test]
fn captions_and_scores_are_said_of_all_variants_or_of_none() {
    let of = |attributes: &str| format!("#EXT-X-STREAM-INF:BANDWIDTH=1{attributes}\nv\n");
    let said = |fra: &str, nyc: &str| {
        let merged = both(&of(fra), &of(nyc)).unwrap();
        let words = |variant: &Variant| {
            let words: Vec<_> = variant.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
            words.join(",")
        };
        merged.variants.iter().map(words).collect::<Vec<_>>().join(" ")
    };
    let none = ",CLOSED-CAPTIONS=NONE";
    assert_eq!(said(none, none), "CLOSED-CAPTIONS=NONE CLOSED-CAPTIONS=NONE");
    assert_eq!(said(none, ""), " ");
    assert_eq!(said(none, ",CLOSED-CAPTIONS=\"cc\""), " CLOSED-CAPTIONS=\"nyc/cc\"");
    assert_eq!(said(",SCORE=2.0", ",SCORE=1.0"), "SCORE=2.0 SCORE=1.0");
    assert_eq!(said(",SCORE=2.0", ""), " ");
}

#[test]
fn subtitles_and_captions_are_those_of_the_own_region() {
    let region = "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"subs\",NAME=\"Deutsch\",LANGUAGE=\"de\",AUTOSELECT=YES,URI=\"de.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"CC1\",INSTREAM-ID=\"CC1\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,SUBTITLES=\"subs\",CLOSED-CAPTIONS=\"cc\"\nv\n";
    // The other region has none of them.
    let bare = "#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n";
    assert_eq!(
        text(region, bare),
        "#EXTM3U\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"fra/subs\",NAME=\"Deutsch\",DEFAULT=NO,AUTOSELECT=YES,LANGUAGE=\"de\",URI=\"https://fra.example/live/c1/de.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"fra/cc\",NAME=\"CC1\",DEFAULT=NO,AUTOSELECT=NO,INSTREAM-ID=\"CC1\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1,SUBTITLES=\"fra/subs\",CLOSED-CAPTIONS=\"fra/cc\"\nhttps://fra.example/live/c1/v\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://nyc.example:8443/x/v\n"
    );
    let merged = both(region, region).unwrap();
    let groups: BTreeSet<&str> = merged.media.iter().map(|media| media.group_id.as_str()).collect();
    assert_eq!(groups, BTreeSet::from(["fra/cc", "fra/subs", "nyc/cc", "nyc/subs"]));
    assert_eq!(parsed(merged.render().trim_start_matches("#EXTM3U\n")), merged, "it is read as it was written");
}

#[test]
fn defaults_are_the_same_in_every_region() {
    let media = |name: &str, default: &str| {
        format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"{name}\",DEFAULT={default},URI=\"{name}\"\n")
    };
    let defaults = |fra: &[(&str, &str)], nyc: &[(&str, &str)]| {
        let of = |list: &[(&str, &str)]| list.iter().map(|(name, default)| media(name, default)).collect::<String>();
        let merged = both(&of(fra), &of(nyc)).unwrap();
        let word = |media: &RenditionMedia| {
            assert!(media.autoselect || !media.is_default);
            format!("{}{}", media.name, if media.is_default { "!" } else { "" })
        };
        merged.media.iter().map(word).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(defaults(&[("en", "YES"), ("fr", "NO")], &[("en", "NO"), ("fr", "YES")]), "en! fr en! fr");
    assert_eq!(defaults(&[("en", "YES"), ("fr", "NO")], &[("fr", "YES")]), "en! fr fr!");
    assert_eq!(defaults(&[("en", "NO")], &[("en", "YES")]), "en en");
    assert_eq!(defaults(&[("en", "YES"), ("en", "YES")], &[]), "en! en 2");
}

#[test]
fn long_names_of_groups_stay_apart() {
    let long = |last: char| format!("{}{last}", "g".repeat(80));
    let of = |names: [&str; 4]| -> String {
        names
            .iter()
            .map(|name| format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{name}\",NAME=\"n\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"{name}\"\nv\n"))
            .collect()
    };
    let (one, two) = (long('1'), long('2'));
    let merged = both(&of([&one, "/0", &two, "//1"]), &of([&two, &one, "a/b", "a"])).unwrap();
    let groups: BTreeSet<&str> = merged.media.iter().map(|media| media.group_id.as_str()).collect();
    assert_eq!(groups.len(), 8, "{groups:?}");
    assert!(groups.iter().all(|group| group.len() <= 63));
    assert!(merged.variants.iter().all(|variant| groups.contains(variant.audio.as_deref().unwrap())));
}

#[test]
fn variables_are_put_in() {
    let fra = "#EXT-X-DEFINE:NAME=\"host\",VALUE=\"https://a.example\"\n#EXT-X-DEFINE:NAME=\"g\",VALUE=\"aac\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{$g}\",NAME=\"{$g} {$ }\",URI=\"{$host}/a\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"aac\"\n{$host}/{$g}\n";
    let merged = both(fra, "#EXT-X-DEFINE:NAME=\"g\",VALUE=\"aac\"\n").unwrap();
    assert_eq!(
        merged.other,
        ["#EXT-X-DEFINE:NAME=\"g\",VALUE=\"aac\"", "#EXT-X-DEFINE:NAME=\"host\",VALUE=\"https://a.example\""]
    );
    assert_eq!((merged.media[0].group_id.as_str(), merged.media[0].name.as_str()), ("fra/aac", "aac {$ }"));
    assert_eq!(merged.media[0].uri.as_deref(), Some("https://a.example/a"));
    assert_eq!(uris(&merged), ["https://a.example/aac"]);

    let words = |fra: &str, nyc: &str| both(fra, nyc).unwrap_err().to_string();
    let define = |value: &str| format!("#EXT-X-DEFINE:NAME=\"g\",VALUE=\"{value}\"\n");
    assert_eq!(
        words(&define("1"), &define("2")),
        "regions define a variable with different values, give it another name in each: g"
    );
    for how in ["QUERYPARAM", "IMPORT"] {
        assert_eq!(
            words("", &format!("#EXT-X-DEFINE:{how}=\"token\"\n")),
            "region nyc: a variable must be defined by NAME and VALUE to be merged: token"
        );
    }
    assert_eq!(
        words("#EXT-X-STREAM-INF:BANDWIDTH=1\n{$no}\n", ""),
        "region fra: a variable is used and not defined: no"
    );
    let bomb = format!("{}#EXT-X-STREAM-INF:BANDWIDTH=1\n{}\n", define(&"x".repeat(999)), "{$g}".repeat(999));
    assert_eq!(words(&bomb, ""), "region fra: a text with variables is too long");
}

#[test]
fn what_is_refused() {
    let empty = MultivariantPlaylist::default();
    let try_merge = |regions: &[(&str, &str)]| {
        let regions: Vec<_> = regions.iter().map(|&(name, base)| Region { name, base, playlist: &empty }).collect();
        merge(&regions, &[], None).unwrap_err()
    };
    assert_eq!(try_merge(&[]), MergeError::NoRegion);
    assert_eq!(try_merge(&[("a/b", FRA)]), MergeError::Name("a/b".to_owned()));
    assert_eq!(try_merge(&[("", FRA)]), MergeError::Name(String::new()));
    assert_eq!(try_merge(&[("a", FRA), ("a", NYC)]), MergeError::Repeated("a".to_owned()));
    assert_eq!(try_merge(&[("a", "index.m3u8")]), MergeError::Base("a".to_owned()));
    assert_eq!(try_merge(&[("a", FRA); 17]), MergeError::TooManyRegions(17));
    let many = "#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n".repeat(VARIANTS_MAX + 1);
    assert!(matches!(both("", &many), Err(MergeError::TooMany { what: "variants", .. })));
    assert!(matches!(both("", "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1\n"), Err(MergeError::Tag { .. })));
}

fn region_text() -> impl Strategy<Value = String> {
    let group = "[a-c/]{1,3}";
    let media = (group, "(AUDIO|SUBTITLES)", "[a-c]{1,2}", any::<bool>(), "m[a-z./]{0,6}").prop_map(
        |(group, kind, name, default, uri)| {
            let default = if default { "YES" } else { "NO" };
            format!("#EXT-X-MEDIA:TYPE={kind},GROUP-ID=\"{group}\",NAME=\"{name}\",DEFAULT={default},URI=\"{uri}\"\n")
        },
    );
    let rung =
        (0_u64..9000, 1_u32..4, "(avc1|hvc1)(,mp4a)?", group, 0_u32..70_000, any::<[bool; 4]>(), "[a-z./?]{0,6}");
    let variant = rung.clone().prop_map(|(bandwidth, height, codecs, group, rate, has, uri)| {
        let mut line = format!("#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}");
        let rate = f64::from(rate) / 997.0;
        for (has, text) in has.into_iter().zip([
            format!(",RESOLUTION=16x{height}"),
            format!(",CODECS=\"{codecs}\""),
            format!(",AUDIO=\"{group}\",SUBTITLES=\"{group}\""),
            format!(",FRAME-RATE={rate:.5},AVERAGE-BANDWIDTH={bandwidth}"),
        ]) {
            if has {
                line.push_str(&text);
            }
        }
        format!("{line}\nv{uri}\n")
    });
    let frames = rung.prop_map(|(bandwidth, height, codecs, _, _, has, uri)| {
        let tag = if has[0] { "I-FRAME" } else { "IMAGE" };
        format!(
            "#EXT-X-{tag}-STREAM-INF:URI=\"{uri}\",BANDWIDTH={bandwidth},RESOLUTION=16x{height},CODECS=\"{codecs}\"\n"
        )
    });
    let other = prop_oneof![
        "#EXT-X-(SESSION-KEY|SESSION-DATA|FOO|START):(METHOD=AES-128|URI=\"[a-z]{1,3}\"|DATA-ID=\"[ab]\")\n",
        Just("# words\n".to_owned()),
        Just("#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned()),
    ];
    let lists = (
        prop::collection::vec(media, 0..5),
        prop::collection::vec(variant, 0..7),
        prop::collection::vec(frames, 0..4),
        prop::collection::vec(other, 0..4),
    );
    lists.prop_map(|(media, variants, frames, other)| [frames, other, media, variants].concat().concat())
}

/// What merging leaves of a variant: its URI, its size, and whether its sound is elsewhere.
type Mark = (String, Option<(u32, u32)>, bool);

/// How often each variant stands.
fn count(playlist: &MultivariantPlaylist) -> BTreeMap<Mark, usize> {
    let mut counts = BTreeMap::new();
    for Variant { uri, resolution, audio, .. } in &playlist.variants {
        *counts.entry((uri.clone(), *resolution, audio.is_some())).or_default() += 1;
    }
    counts
}

proptest! {
    #[test]
    fn every_variant_once_and_no_group_shared(
        texts in prop::collection::vec(region_text(), 1..4), steered in any::<bool>(), shift in 0..4_usize,
    ) {
        let playlists: Vec<_> = texts.iter().map(|text| parsed(text)).collect();
        let names = ["fra", "n-y.c", "a_b"];
        let bases: Vec<_> = names.iter().map(|name| format!("https://{name}.example/a/b/index.m3u8")).collect();
        let regions: Vec<_> = playlists.iter().zip(names).zip(&bases)
            .map(|((playlist, name), base)| Region { name, base, playlist }).collect();
        let mut order = names.to_vec();
        order.rotate_left(shift % names.len());
        let steering = steered.then_some(Steering { server_uri: "steering.json", pathway: None });
        let merged = merge(&regions, &order, steering.as_ref()).unwrap();
        let again = merge(&regions, &order, steering.as_ref()).unwrap();
        prop_assert_eq!(merged.render(), again.render());

        prop_assert_eq!(&MultivariantPlaylist::parse(merged.render().as_bytes()).unwrap(), &merged);

        let alone = |region: &Region<'_>| merge(&[*region], &[], None).unwrap();
        let mut expected = BTreeMap::new();
        for region in &regions {
            for (key, number) in count(&alone(region)) {
                *expected.entry(key).or_default() += number;
            }
        }
        prop_assert_eq!(count(&merged), expected);
        prop_assert_eq!(merged.media.len(), playlists.iter().map(|playlist| playlist.media.len()).sum::<usize>());

        // Groups are of one region: the one that their variants and renditions lead to.
        let of = |group: &str| group.split_once('/').unwrap().0.to_owned();
        for media in &merged.media {
            let own = format!("https://{}.example/", of(&media.group_id));
            prop_assert!(media.uri.as_ref().unwrap().starts_with(&own));
            prop_assert!(media.autoselect || !media.is_default);
        }
        let mut names_of_groups = BTreeSet::new();
        for media in &merged.media {
            prop_assert!(names_of_groups.insert((&media.kind, &media.group_id, &media.name)));
        }
        for variant in &merged.variants {
            let groups = variant.audio.iter().cloned()
                .chain(variant.attributes.iter().filter(|(name, _)| name == "SUBTITLES").map(|(_, v)| v.trim_matches('"').to_owned()));
            for group in groups {
                let own = format!("https://{}.example/", of(&group));
                prop_assert!(variant.uri.starts_with(&own), "{:?}", variant);
            }
        }
        // The preferred region's ladder keeps its order, and begins.
        let first = regions.iter().min_by_key(|region| order.iter().position(|name| *name == region.name)).unwrap();
        let own = format!("https://{}.example/", first.name);
        let kept: Vec<_> = uris(&merged).into_iter().filter(|uri| uri.starts_with(&own)).map(str::to_owned).collect();
        let by_itself = alone(first);
        prop_assert_eq!(&kept, &uris(&by_itself));
        if let Some(uri) = kept.first() {
            prop_assert_eq!(uri, &merged.variants[0].uri);
        }
    }

    #[test]
    fn any_playlist_is_judged(lines in prop::collection::vec(
        "(#EXT-X-(DEFINE|MEDIA|STREAM-INF|I-FRAME-STREAM-INF|SESSION-KEY|CONTENT-STEERING):)?([A-Z]{1,3}|NAME|VALUE|URI|BANDWIDTH|TYPE|GROUP-ID)=(1|\"[a-z{$}/]{0,4}\")(,URI=\"\\{\\$a\\}\")?", 0..8)) {
        if let Ok(playlist) = MultivariantPlaylist::parse(format!("#EXTM3U\n{}", lines.join("\n")).as_bytes()) {
            let region = Region { name: "a", base: FRA, playlist: &playlist };
            if let Ok(merged) = merge(&[region], &[], None) {
                prop_assert_eq!(MultivariantPlaylist::parse(merged.render().as_bytes()).unwrap(), merged);
            }
        }
    }
}
