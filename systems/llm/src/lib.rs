//! trackway-llm
