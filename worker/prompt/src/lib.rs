//! trackway-prompt
