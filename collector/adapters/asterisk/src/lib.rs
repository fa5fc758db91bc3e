//! adapter-asterisk
