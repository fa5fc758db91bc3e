//! adapter-queue-log
