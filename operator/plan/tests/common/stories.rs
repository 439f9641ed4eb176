//! The part of the world that stories need.
#![allow(dead_code, reason = "each test binary uses its own part of the world")]

pub mod cluster;
pub mod commands;
pub mod said;
pub mod story;
pub mod track;
pub mod transcript;
