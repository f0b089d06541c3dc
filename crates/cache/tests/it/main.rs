//! What is kept comes back, in parts and whole; what was damaged is named.

mod damage;
mod fixture;
mod parts;
mod writers;
