//! adapter-replay
