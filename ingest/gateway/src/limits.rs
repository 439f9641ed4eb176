//! How many events each tenant may send to each source.

use crate::problem::{Kind, Problem};
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use std::{collections::BTreeMap, num::NonZeroU32};
use trackway_sources::IngestConfig;

/// A limiter for each source and tenant.
#[derive(Debug)]
pub struct Limits(BTreeMap<String, BTreeMap<String, Limit>>);

#[derive(Debug)]
struct Limit {
    limiter: DefaultDirectRateLimiter,
    burst: NonZeroU32,
}

impl Limits {
    /// As `config` says.
    #[must_use]
    pub fn new(config: &IngestConfig) -> Self {
        let of_source = |source: &trackway_sources::Source| {
            let rate = NonZeroU32::new(source.limits.events_per_second).unwrap_or(NonZeroU32::MIN);
            let burst = NonZeroU32::new(source.limits.burst).unwrap_or(NonZeroU32::MIN);
            let limit = || Limit { limiter: RateLimiter::direct(Quota::per_second(rate).allow_burst(burst)), burst };
            let tenants = source.credentials.iter().map(|credential| (credential.tenant.clone(), limit()));
            (source.id.clone(), tenants.collect())
        };
        Self(config.sources.iter().map(of_source).collect())
    }

    /// Lets `events` of `tenant` in at `source`. More than its burst count as its burst: a batch that large could never pass.
    ///
    /// # Errors
    /// With the time after which as many may come.
    pub fn admit(&self, source: &str, tenant: &str, events: usize) -> Result<(), Problem> {
        let Some(limit) = self.0.get(source).and_then(|tenants| tenants.get(tenant)) else { return Ok(()) };
        let events = u32::try_from(events).unwrap_or(u32::MAX).min(limit.burst.get());
        let Some(events) = NonZeroU32::new(events) else { return Ok(()) };
        match limit.limiter.check_n(events) {
            Ok(Ok(())) | Err(_) => Ok(()),
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                let detail = "this source takes no more events of this tenant for now; wait, or have its limits raised";
                Err(Problem::new(Kind::RateLimited, detail).after(wait))
            }
        }
    }
}
