//! Real cores in virtual time.

mod federation;
mod world;
