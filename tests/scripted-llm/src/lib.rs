//! trackway-scripted-llm
