//! A local port that leads to a pod behind a Service, as `kubectl port-forward` does.

use anyhow::{Context, anyhow};
use k8s_openapi::{
    api::core::v1::{Pod, Service},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{Api, Client, api::ListParams};
use std::net::SocketAddr;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use trackway_kubernetes::within;

/// Lives as long as it is held.
pub(crate) struct Forward {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Forward {
    /// Opens a port of this machine that leads to a ready pod behind `port` of the Service.
    pub(crate) async fn to_service(client: &Client, namespace: &str, service: &str, port: u16) -> anyhow::Result<Self> {
        let (pod, port) = pod_behind(client, namespace, service, port).await?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot open a local port")?;
        let address = listener.local_addr().context("cannot open a local port")?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(carry(pods.clone(), pod.clone(), port, connection));
            }
        });
        Ok(Self { address, task })
    }

    /// Where to connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(pods: Api<Pod>, pod: String, port: u16, mut connection: TcpStream) {
    let outcome = async {
        let mut forwarder = pods.portforward(&pod, &[port]).await?;
        let mut stream = forwarder.take_stream(port).ok_or_else(|| anyhow!("the API server gave no stream"))?;
        tokio::io::copy_bidirectional(&mut connection, &mut stream).await?;
        anyhow::Ok(())
    };
    if let Err(error) = outcome.await {
        // The client of the port sees its connection end, and says so.
        tracing::debug!(%error, pod, port, "port-forward ended");
    }
}

/// A ready pod behind the Service, and the container's port.
async fn pod_behind(client: &Client, namespace: &str, service: &str, port: u16) -> anyhow::Result<(String, u16)> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found = within(&format!("get Service {namespace}/{service}"), services.get(service)).await?;
    let spec = found.spec.unwrap_or_default();
    let target =
        spec.ports.into_iter().flatten().find(|candidate| candidate.port == i32::from(port)).and_then(|port| port.target_port);
    let selector =
        spec.selector.unwrap_or_default().iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let list =
        within(&format!("list pods of Service {namespace}/{service}"), pods.list(&ListParams::default().labels(&selector)))
            .await?;
    let pod = list.items.into_iter().find(is_ready).ok_or_else(|| {
        anyhow!("no pod behind Service {namespace}/{service} is ready: kubectl get pods -n {namespace} -l {selector}")
    })?;
    let port = match target {
        Some(IntOrString::Int(number)) => u16::try_from(number).unwrap_or(port),
        Some(IntOrString::String(name)) => named_port(&pod, &name).unwrap_or(port),
        None => port,
    };
    let name = pod.metadata.name.ok_or_else(|| anyhow!("the API server gave a pod without name"))?;
    Ok((name, port))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn named_port(pod: &Pod, name: &str) -> Option<u16> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports.find(|port| port.name.as_deref() == Some(name)).and_then(|port| u16::try_from(port.container_port).ok())
}
