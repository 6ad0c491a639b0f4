//! The command line; it comes with the rooms it calls.

fn main() {}
