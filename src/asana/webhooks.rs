//! An account's webhooks: lists, creates and deletes them.

use super::Client;
use super::http::HttpAnswer;
use super::requests;
use super::wire::{Refusal, list_page, object, refusal};
use crate::config::Secret;
use bridge_core::ids::Gid;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

/// A webhook, as Asana shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The webhook's own gid.
    pub gid: Gid,
    /// The URL that Asana sends deliveries to. Treat it as a secret: the bridge's URLs are unguessable.
    pub target: String,
    /// Whether Asana sends deliveries to it.
    pub active: bool,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<T> {
    /// The items, in Asana's order.
    pub items: Vec<T>,
    /// The offset of the next page; `None` on the last page.
    pub next_offset: Option<String>,
}

#[derive(Deserialize)]
struct Reference {
    gid: String,
}

#[derive(Deserialize)]
struct Shown {
    gid: String,
    target: String,
    active: bool,
}

#[derive(Deserialize)]
struct Made {
    data: Reference,
    #[serde(rename = "X-Hook-Secret")]
    secret: String,
}

impl Client {
    /// The workspaces that the account can access, from `offset` on.
    ///
    /// # Errors
    /// Why Asana gave no list.
    ///
    /// *Cancel safety*: dropping the future drops the request; nothing is changed by it.
    pub async fn workspaces(&self, offset: Option<&str>) -> Result<Part<Gid>, Refusal> {
        let answer = self.ask(Method::GET, requests::workspaces(self.base_url(), offset), None).await?;
        part(answer, offset, |it: Reference| it.gid.into())
    }

    /// The webhooks that the account has in a workspace, from `offset` on.
    ///
    /// # Errors
    /// Why Asana gave no list.
    ///
    /// *Cancel safety*: dropping the future drops the request; nothing is changed by it.
    pub async fn webhooks(&self, workspace: &Gid, offset: Option<&str>) -> Result<Part<Webhook>, Refusal> {
        let answer = self.ask(Method::GET, requests::webhooks(self.base_url(), workspace, offset), None).await?;
        part(answer, offset, |Shown { gid, target, active }| Webhook { gid: gid.into(), target, active })
    }

    /// Creates a webhook on a task, project or goal. Before this ends, Asana sends a request to the target, which has
    /// to answer with the secret that it got. Returns the webhook's gid and its secret.
    ///
    /// # Errors
    /// Why Asana didn't create it. After [`Refusal::Failed`] the webhook may exist, and nobody knows its secret.
    ///
    /// *Cancel safety*: if dropped, the webhook may exist, as after a failure.
    pub async fn create_webhook(&self, resource: &Gid, target: &str) -> Result<(Gid, Secret), Refusal> {
        let body = json!({ "data": { "resource": resource.as_str(), "target": target } }).to_string();
        let answer = self.ask(Method::POST, requests::webhook(self.base_url(), None), Some(body)).await?;
        if answer.status != StatusCode::CREATED {
            return Err(refused(answer));
        }
        let body = answer.body.map_err(Refusal::Failed)?;
        let Made { data, secret } = object(&body, "new webhook").map_err(Refusal::Failed)?;
        Ok((data.gid.into(), secret.into()))
    }

    /// Deletes a webhook.
    ///
    /// # Errors
    /// Why Asana didn't delete it.
    ///
    /// *Cancel safety*: if dropped, the webhook may be deleted or not.
    pub async fn delete_webhook(&self, gid: &Gid) -> Result<(), Refusal> {
        let answer = self.ask(Method::DELETE, requests::webhook(self.base_url(), Some(gid)), None).await?;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(refused(answer)) }
    }
}

fn refused(answer: HttpAnswer) -> Refusal {
    let received_at = answer.received_at;
    refusal(answer, received_at)
}

fn part<B, T>(answer: HttpAnswer, offset: Option<&str>, read: impl Fn(B) -> T) -> Result<Part<T>, Refusal>
where
    B: for<'a> Deserialize<'a>,
{
    if answer.status != StatusCode::OK {
        return Err(refused(answer));
    }
    let body = answer.body.map_err(Refusal::Failed)?;
    let (data, next_offset) = list_page(&body, offset).map_err(Refusal::Failed)?;
    Ok(Part { items: data.into_iter().map(read).collect(), next_offset })
}
