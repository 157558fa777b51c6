//! Sends traces to an OpenTelemetry collector, or none if the program was built without that feature.

use crate::config::{Checked, Environment};
use crate::observe::Observer;
use std::sync::Arc;

/// Traces to a collector, if the program was built with that feature.
pub(super) struct Tracer {
    #[cfg(feature = "otlp")]
    otlp: Option<Arc<crate::otlp::Otlp>>,
}

impl Tracer {
    #[cfg(feature = "otlp")]
    pub(super) fn start(checked: &Checked, environment: &Environment, runtime: &tokio::runtime::Handle) -> Self {
        Self { otlp: crate::otlp::Otlp::start(checked, environment, runtime) }
    }

    #[cfg(not(feature = "otlp"))]
    pub(super) fn start(_: &Checked, _: &Environment, _: &tokio::runtime::Handle) -> Self {
        Self {}
    }

    #[cfg_attr(not(feature = "otlp"), expect(clippy::unused_self, reason = "there is no other form of it"))]
    pub(super) fn observer(&self) -> Option<Arc<dyn Observer>> {
        #[cfg(feature = "otlp")]
        return self.otlp.clone().map(|otlp| otlp as Arc<dyn Observer>);
        #[cfg(not(feature = "otlp"))]
        None
    }

    pub(super) fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(otlp) = self.otlp {
            otlp.end();
        }
    }
}
