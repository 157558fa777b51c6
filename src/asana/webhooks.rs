//! An account's webhooks: which there are, one made, one deleted.

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
    /// Its own gid.
    pub gid: Gid,
    /// Where Asana sends what happens. Whoever made it may rely on nobody else's knowing it.
    pub target: String,
    /// Whether Asana sends anything.
    pub active: bool,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<T> {
    /// In Asana's order.
    pub items: Vec<T>,
    /// Where the next part begins; `None` at the last.
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
    /// The workspaces that the account sees, from `offset` on.
    ///
    /// # Errors
    /// [`Refusal`].
    ///
    /// *Cancel safety*: dropping the future drops the request; nothing is changed by it.
    pub async fn workspaces(&self, offset: Option<&str>) -> Result<Part<Gid>, Refusal> {
        let answer = self.ask(Method::GET, requests::workspaces(self.base_url(), offset), None).await?;
        part(answer, offset, |it: Reference| it.gid.into())
    }

    /// The webhooks that the account has in a workspace, from `offset` on.
    ///
    /// # Errors
    /// [`Refusal`].
    ///
    /// *Cancel safety*: dropping the future drops the request; nothing is changed by it.
    pub async fn webhooks(&self, workspace: &Gid, offset: Option<&str>) -> Result<Part<Webhook>, Refusal> {
        let answer = self.ask(Method::GET, requests::webhooks(self.base_url(), workspace, offset), None).await?;
        part(answer, offset, |Shown { gid, target, active }| Webhook { gid: gid.into(), target, active })
    }

    /// Creates a webhook on a task, project or goal. The target is asked by Asana before this ends, and has to answer with
    /// the secret that it was sent. Gives the webhook's gid, and its secret.
    ///
    /// # Errors
    /// [`Refusal`]; after [`Refusal::Failed`] the webhook may be there, and nobody knows its secret.
    ///
    /// *Cancel safety*: if dropped, as after a failure.
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
    /// [`Refusal`].
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
