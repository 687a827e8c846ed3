//! Real cores in virtual time.

mod arrival;
mod ends;
mod federation;
mod join;
mod random;
mod recovery;
mod releases;
mod rotation;
mod world;
