//! ModelEndpoint: where models are reached, once per namespace.

use crate::contracts::SecretKeyRef;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A server that speaks the OpenAI API, and how to authenticate with it. Tracks of the same namespace name it in
/// `spec.models[].endpoint`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "trackway.dev",
    version = "v1alpha1",
    kind = "ModelEndpoint",
    plural = "modelendpoints",
    shortname = "me",
    category = "trackway",
    namespaced,
    derive = "PartialEq",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.baseURL"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ModelEndpointSpec {
    /// Address up to and including the version, for example `https://llm.internal/v1`; `/chat/completions` is appended.
    #[serde(rename = "baseURL")]
    #[schemars(length(min = 8, max = 256), regex(pattern = r"^https?://[^\s]+$"))]
    pub base_url: String,
    /// Secret of this namespace that holds the API key. Left out: no key is sent. The operator never reads it; worker pods
    /// get it from the kubelet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyRef>,
    /// Headers sent with every request, for example an organisation id. Not for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8), inner(length(max = 256)))]
    pub headers: BTreeMap<String, String>,
    /// ConfigMap of this namespace that holds the PEM certificates of the authority that signed the server's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<ConfigMapKeyRef>,
}

/// One key of a ConfigMap of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key within it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
