//! Tests of the messages between nodes and of local records: their bounds, what is decoded and refused, and their vectors.

mod bounds;
mod decoders;
mod samples;
mod vectors;

use super::*;
