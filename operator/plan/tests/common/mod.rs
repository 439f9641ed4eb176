//! A small world around the real `plan`: a track, a batch, a model of the API server, and stories told with them.
#![allow(dead_code, reason = "each test binary uses its own part of the world")]

pub mod cluster;
pub mod commands;
pub mod conduct;
pub mod explore;
pub mod oracle;
pub mod report;
pub mod said;
pub mod sim;
pub mod story;
pub mod track;
pub mod transcript;
