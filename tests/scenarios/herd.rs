//! Many viewers, one fetch.

use std::sync::{Arc, Barrier};

use anabranch_testkit::{Encoder, Picture, Server, Viewer};

use crate::{media_playlist, play_url, push_url, wait_playing};

#[test]
fn two_hundred_viewers_of_a_new_segment_are_one_origin_fetch() {
    let server = Server::start();
    let (channel, breakout) = server.on_air("herd");
    let encoder = Encoder::push(&push_url(&channel), Picture::default());
    let multivariant = wait_playing(&play_url(&server, &breakout));
    let segment = media_playlist(&multivariant).uris().pop().expect("a segment");
    // Without an encoder nothing else is fetched.
    drop(encoder);
    let before = server.metric("anabranch_edge_origin_fetches_total", "");
    let gate = Arc::new(Barrier::new(200));
    let viewers: Vec<_> = (0..200)
        .map(|_| {
            let (gate, segment) = (gate.clone(), segment.clone());
            std::thread::spawn(move || {
                gate.wait();
                Viewer::new().get(&segment)
            })
        })
        .collect();
    let answers: Vec<_> = viewers.into_iter().map(|viewer| viewer.join().expect("a viewer")).collect();
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert_eq!(server.metric("anabranch_edge_origin_fetches_total", "") - before, 1.0);
}
