//! `/webhooks` and what is below it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{
    asana::Asana,
    delivery::Told,
    event::Gid,
    http::{Answer, ApiError, Request},
    pages::{Answered, Call, one, paged},
    places::Border,
    webhooks::{NewFilters, Wanted, Webhook},
};

const COMPACT_WEBHOOK: [&str; 5] = ["gid", "resource_type", "active", "resource", "target"];

impl Asana {
    /// `/webhooks` and what is below it.
    pub(crate) fn webhook(&mut self, below: &[&str], call: &Call<'_>) -> Answered {
        let Call { request, account, now, .. } = *call;
        match (request.method.as_str(), below) {
            ("GET", []) => {
                let workspace = request.param("workspace").ok_or_else(|| ApiError::missing("workspace"))?;
                let workspace = self.named_as("workspace", workspace, call)?;
                let (world, of) = (&self.world, request.param("resource"));
                let own = self.webhooks.iter().filter(|(_, it)| {
                    it.account == account
                        && of.is_none_or(|of| *it.resource == *of)
                        && world.find(&it.resource).and_then(|of| world.place_of(of)) == Some(workspace)
                });
                let ids = own.map(|(gid, it)| (Border::made(gid.parse().unwrap_or_default()), (gid, it)));
                let show = |(gid, it): &(&Gid, &Webhook)| it.record(gid, world, now);
                paged(&mut self.offsets, ids, show, &COMPACT_WEBHOOK, call)
            }
            ("POST", []) => {
                let wanted: Wanted = posted(request)?;
                if let Some(found) = self.world.find(&wanted.resource) {
                    self.sight(found, account)?;
                }
                let handshake = self.webhooks.reserve(wanted, account, &self.world, now)?;
                Ok(Answer { handshake: Some(handshake), ..Answer::ok(&json!({})) })
            }
            ("GET", [gid]) => Ok(one(&self.webhooks.of(gid, account)?.record(gid, &self.world, now), request)),
            ("PUT", [gid]) => {
                self.webhooks.of(gid, account)?;
                let NewFilters { filters } = posted(request)?;
                self.webhooks.set_filters(gid, filters);
                Ok(one(&self.webhooks.of(gid, account)?.record(gid, &self.world, now), request))
            }
            ("DELETE", [gid]) => {
                self.webhooks.of(gid, account)?;
                self.webhooks.remove(gid);
                Ok(Answer::ok(&json!({"data": {}})))
            }
            _ => Err(ApiError::no_route()),
        }
    }

    /// The answer to the creation of a webhook, after its target has answered the handshake.
    pub(crate) fn shaken(&mut self, gid: &str, told: Told, elapsed: Duration) -> Answer {
        let now = self.advance(elapsed);
        let made = self.webhooks.shake(gid, told, now).map(|secret| {
            let webhook = self.webhooks.iter().find(|(it, _)| ***it == *gid);
            let record = webhook.map(|(gid, it)| it.record(gid, &self.world, now));
            Answer::json(201, &json!({"data": record, "X-Hook-Secret": secret}))
        });
        made.unwrap_or_else(Answer::from)
    }
}

fn posted<'a, T: Deserialize<'a>>(request: &'a Request) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Posted<T> {
        data: T,
    }
    let posted = serde_json::from_slice(&request.body).map_err(|error| ApiError::new(400, error.to_string()))?;
    let Posted { data } = posted;
    Ok(data)
}
