//! Model folders: pack, verify, load.
