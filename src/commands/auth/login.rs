//! The steps of a login.

use super::answer::{Listener, pasted, redirect_uri};
use super::file::Target;
use super::report::{Question as Shown, Report};
use super::{AuthError, BASE_URL, Exit, LoginArgs, SECRET_VARIABLE};
use crate::asana::{Application, Client, Code, Login, Look, Question, Refusal};
use crate::config::{
    CheckedAccount, CheckedOauth, Credential, Environment, OUT_OF_BAND, Secret, SecretSource, is_safe_for_secrets,
};
use crate::escape::printable;
use crate::one_line::one_line;
use axum::http::StatusCode;
use bridge_core::ids::AccountName;
use reqwest::header::HeaderMap;
use std::fmt::Display;
use std::io::Write as _;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;
use url::Url;

/// The timeout of each request to Asana.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How the answer comes back.
enum Way {
    Redirect(Listener),
    Paste,
}

/// Lets a user log in, writes the refresh token, and uses it once as `run` will.
pub(super) async fn run(args: &LoginArgs, environment: &Environment) -> Result<Exit, AuthError> {
    let base_url = base_url(&args.base_url)?;
    let client_secret = client_secret(args, environment)?;
    let target = Target::check(&args.refresh_token_file, args.replace)?;
    let redirect_uri = if args.no_listen { OUT_OF_BAND.to_owned() } else { redirect_uri(args.port) };
    let application = Application {
        client_id: args.client_id.clone(),
        client_secret: client_secret.as_ref().map(read).transpose()?,
        redirect_uri: redirect_uri.clone(),
        authorize_url: beside(&base_url, "oauth_authorize"),
        token_url: beside(&base_url, "oauth_token"),
    };
    let account = account(args, base_url, &application, client_secret, &target);
    let login = Login::new(application, &account)?;
    let way = if args.no_listen { Way::Paste } else { Way::Redirect(Listener::bind(args.port).await?) };
    let question = login.ask(&args.scopes);
    let shown = Shown {
        url: question.url().clone(),
        redirect_uri: redirect_uri.clone(),
        timeout: args.timeout,
        is_pasted: args.no_listen,
    };
    show(&shown)?;
    let late = || AuthError::TimedOut { timeout: args.timeout, redirect_uri: redirect_uri.clone() };
    match way {
        Way::Redirect(listener) => answered(listener, question, &login, &target, args.timeout, late).await?,
        Way::Paste => {
            let text = tokio::time::timeout(args.timeout, pasted()).await.map_err(|_elapsed| late())??;
            let code = Code::pasted(&text).ok_or(AuthError::NotPasted)?;
            target.write(&login.exchange(question, code).await?)?;
        }
    }
    verify(args, &account, &target).await
}

/// Waits for the redirect, and exchanges its code. The browser shows how it ended.
async fn answered(
    mut listener: Listener,
    question: Question,
    login: &Login,
    target: &Target,
    timeout: Duration,
    late: impl Fn() -> AuthError,
) -> Result<(), AuthError> {
    let arriving = async {
        loop {
            let arrived = listener.next().await?;
            match question.code(&arrived.query) {
                Some(code) => return Some((arrived, code)),
                None => arrived.show(StatusCode::BAD_REQUEST, "This is no answer to a login."),
            }
        }
    };
    let arrived = tokio::time::timeout(timeout, arriving).await.map_err(|_elapsed| late())?;
    // Without a server nothing would come any more.
    let (arrived, code) = arrived.ok_or_else(late)?;
    let done = match code {
        Ok(code) => exchanged(login, question, code, target).await,
        Err(error) => Err(error.into()),
    };
    match &done {
        Ok(()) => arrived.show(StatusCode::OK, "Logged in. You may close this page."),
        Err(error) => {
            let text = format!("Not logged in: {}\n", one_line(error));
            arrived.show(StatusCode::BAD_REQUEST, text);
        }
    }
    listener.close().await;
    done
}

async fn exchanged(login: &Login, question: Question, code: Code, target: &Target) -> Result<(), AuthError> {
    target.write(&login.exchange(question, code).await?)
}

/// Uses the file as `run` will, and reports whose it is.
async fn verify(args: &LoginArgs, account: &CheckedAccount, target: &Target) -> Result<Exit, AuthError> {
    let client = Client::new(account.clone())?;
    let me = client.look(&Look::Me).await;
    let report = Report {
        me: me.as_ref().map_err(Refusal::label),
        grant: client.grant().await.map_err(|failure| failure.label()),
        requested: &args.scopes,
        file: target.path(),
        account,
        is_asana: args.base_url.trim_end_matches('/') == BASE_URL,
    };
    show(&report)?;
    Ok(Exit::of(me.is_ok()))
}

/// Prints a text for people. The address that the user opens ends its line, whatever is in it.
fn show(text: &impl Display) -> Result<(), AuthError> {
    let mut out = std::io::stdout();
    text.to_string().lines().try_for_each(|line| writeln!(out, "{}", printable(line)))?;
    Ok(out.flush()?)
}

/// The address of Asana's API, to which secrets may be sent.
fn base_url(text: &str) -> Result<Url, AuthError> {
    let url = Url::parse(text.trim_end_matches('/')).map_err(|error| AuthError::BaseUrl(error.to_string()))?;
    if is_safe_for_secrets(&url) {
        return Ok(url);
    }
    Err(AuthError::BaseUrl("would send secrets without encryption: use https://".to_owned()))
}

/// An address of Asana's OAuth, on the host of the API.
fn beside(base_url: &Url, name: &str) -> Url {
    let mut url = base_url.clone();
    url.set_path(&format!("/-/{name}"));
    url
}

/// Where the client secret is. `None` if there is none.
fn client_secret(args: &LoginArgs, environment: &Environment) -> Result<Option<SecretSource>, AuthError> {
    if let Some(file) = &args.client_secret_file {
        let failed = |source| AuthError::ClientSecret { place: "--client-secret-file", source };
        return Ok(Some(SecretSource::File(std::path::absolute(file).map_err(failed)?)));
    }
    Ok(environment.get(SECRET_VARIABLE).map(|secret| SecretSource::Text(Secret::new(secret))))
}

fn read(source: &SecretSource) -> Result<Secret, AuthError> {
    let place = match source {
        SecretSource::File(_) => "--client-secret-file",
        SecretSource::Text(_) => SECRET_VARIABLE,
    };
    source.read().map_err(|source| AuthError::ClientSecret { place, source })
}

/// The account that uses the refresh token, as the configuration will have it.
fn account(
    args: &LoginArgs,
    base_url: Url,
    application: &Application,
    client_secret: Option<SecretSource>,
    target: &Target,
) -> CheckedAccount {
    CheckedAccount {
        name: AccountName::from(args.account.as_str()),
        credential: Credential::Oauth(CheckedOauth {
            client_id: application.client_id.clone(),
            client_secret,
            refresh_token: SecretSource::File(target.path().to_owned()),
            redirect_uri: application.redirect_uri.clone(),
            token_url: application.token_url.clone(),
        }),
        base_url,
        ca_file: args.ca_file.clone(),
        proxy: None,
        requests_per_minute: NonZeroU32::MIN,
        max_in_flight: NonZeroU16::MIN,
        request_timeout: REQUEST_TIMEOUT,
        headers: HeaderMap::new(),
    }
}
