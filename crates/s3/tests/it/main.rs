//! The endpoint under the clients that people use, unchanged; and as the service that has the buckets of another house.

mod away;
mod contract;
mod house;
mod limits;
mod programs;
