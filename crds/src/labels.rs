//! Label and annotation keys of Trackway's objects. Values are what Kubernetes allows (≤ 63 characters of a small alphabet);
//! tenants and batches appear only as hashes, because their names need not fit and are nobody else's business.

/// The Track a run or Job belongs to.
pub const TRACK: &str = "trackway.dev/track";
/// Hash of the batch's id.
pub const BATCH: &str = "trackway.dev/batch";
/// Hash of the tenant.
pub const TENANT: &str = "trackway.dev/tenant";
/// `Tenant` or `User`.
pub const LEVEL: &str = "trackway.dev/level";
/// `High`, `Medium` or `Low`.
pub const PRIORITY: &str = "trackway.dev/priority";
/// Name of the run a Job works for.
pub const RUN: &str = "trackway.dev/run";
/// Stage a Job works for.
pub const STAGE: &str = "trackway.dev/stage";
/// Attempt a Job works for, from 1.
pub const ATTEMPT: &str = "trackway.dev/attempt";
/// Try of that attempt, from 1.
pub const TRY: &str = "trackway.dev/try";
/// Wave of a fan-out a Job works for, from 1.
pub const WAVE: &str = "trackway.dev/wave";
/// Marks everything the operator made.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`].
pub const MANAGER: &str = "trackway";
