//! The stores on a real PostgreSQL and a real Redis: the conformance suites, restarts in the middle, servers that go back, and the product
//! on both of them.
#![allow(clippy::disallowed_methods, reason = "these tests run real servers in real time")]

mod gates;
mod postgresql;
mod product;
mod redis;
