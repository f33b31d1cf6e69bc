//! The room through its public face: playlists of timelines, judged by another parser, and round trips of the models.

#[cfg(test)]
mod merging;
#[cfg(test)]
mod models;
#[cfg(test)]
mod timelines;
