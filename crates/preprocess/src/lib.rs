//! From a case to network input and back.
