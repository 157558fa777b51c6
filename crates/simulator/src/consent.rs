//! The pages of the OAuth server that a user sees in a browser.

use std::fmt::Write as _;

use super::http::Answer;

/// A page that asks the user whether the client may have these scopes. Its form repeats the client's parameters, as the
/// server keeps nothing until the user has decided.
pub(crate) fn page<'a>(
    client: &str,
    scope: &str,
    parameters: impl Iterator<Item = (&'a String, &'a String)>,
) -> Answer {
    let mut form = String::new();
    for (name, value) in parameters.filter(|(name, _)| *name != "decision") {
        let (name, value) = (escaped(name), escaped(value));
        // Writing to a text can't fail.
        writeln!(form, r#"<input type="hidden" name="{name}" value="{value}">"#).ok();
    }
    let (client, scope) = (escaped(client), escaped(scope));
    html(&format!(
        r#"<p>Application {client} wants access to the simulated Asana: {scope}</p>
<form method="post" action="/-/oauth_authorize">
{form}<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</form>"#
    ))
}

/// A page with what the client would get by a redirect, for the user to copy.
pub(crate) fn result<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Answer {
    let mut rows = String::new();
    for (name, value) in parameters.filter(|(name, _)| *name != "state") {
        writeln!(rows, r#"<p>{}: <code id="{name}">{}</code></p>"#, escaped(name), escaped(value)).ok();
    }
    html(&rows)
}

/// A page with a text only: Asana shows errors of the client in this way.
pub(crate) fn text(status: u16, text: &str) -> Answer {
    Answer { content_type: "text/plain; charset=utf-8", ..Answer::bytes(status, text.to_owned()) }
}

fn html(body: &str) -> Answer {
    let page = format!("<!doctype html>\n<title>Simulated Asana</title>\n{body}\n");
    Answer { content_type: "text/html; charset=utf-8", ..Answer::bytes(200, page).unstored() }
}

/// The text where HTML expects text or the value of an attribute.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_is_text_on_the_page() {
        let sent = (r#"st"ate"#.to_owned(), "<script>&".to_owned());
        let answer = page("<b>", "a\"b", [(&sent.0, &sent.1)].into_iter());
        let page = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(page.contains(r#"name="st&quot;ate" value="&lt;script&gt;&amp;""#), "{page}");
        assert!(!page.contains("<b>") && !page.contains("<script>"), "{page}");
    }
}
