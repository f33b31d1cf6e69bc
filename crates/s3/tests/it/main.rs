//! The endpoint under the clients that people use, unchanged.

mod house;
mod limits;
mod programs;
