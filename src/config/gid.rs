//! Gids as people write them, on the command line and in the file: as such, or in the address of a page in Asana.

use bridge_core::ids::StreamId;

/// Parts of an address before the gid of something that has an event stream. The innermost comes first: the address of a task
/// may also have its project.
const WITH_STREAM: [&str; 3] = ["task", "goal", "project"];

/// Parts of an address before the gid of something without an event stream, with its name for people.
const WITHOUT_STREAM: [(&str, &str); 3] = [("portfolio", "a portfolio"), ("team", "a team"), ("teams", "a team")];

/// The gid of a task, project or goal.
///
/// # Errors
/// Why the text has none.
pub fn gid(text: &str) -> Result<String, String> {
    if is_gid(text) {
        return Ok(text.to_owned());
    }
    let Some(segments) = segments(text) else {
        return Err(
            "is no gid: expected a number such as 1204619611402340, or the address of a task, project or goal in \
                    Asana, such as https://app.asana.com/0/1204619611402340/list"
                .to_owned(),
        );
    };
    let before = |word: &str| gid_after(&segments, word);
    if let Some(gid) = WITH_STREAM.iter().find_map(|word| before(word)) {
        return Ok(gid.to_owned());
    }
    if let Some((_, what)) = WITHOUT_STREAM.iter().find(|(word, _)| before(word).is_some()) {
        return Err(format!("is the address of {what}: only tasks, projects and goals have event streams"));
    }
    match segments.as_slice() {
        // The older form: /0/PROJECT/…, and /0/PROJECT/TASK, with 0 for no project.
        ["0", project, task, ..] if is_number(project) && is_gid(task) => Ok((*task).to_owned()),
        ["0", project, ..] if is_gid(project) => Ok((*project).to_owned()),
        _ => Err("is an address without the gid of a task, project or goal".to_owned()),
    }
}

/// The gid of a workspace.
///
/// # Errors
/// Why the text has none.
pub fn workspace(text: &str) -> Result<String, String> {
    if is_gid(text) {
        return Ok(text.to_owned());
    }
    match segments(text).as_deref() {
        Some(["1", workspace, ..]) if is_gid(workspace) => Ok((*workspace).to_owned()),
        Some(_) => Err("is an address without the gid of a workspace: those that begin with https://app.asana.com/1/ \
                        have it"
            .to_owned()),
        None => Err("is no gid: expected a number such as 1100000000000001, or an address in Asana such as \
                     https://app.asana.com/1/1100000000000001/home"
            .to_owned()),
    }
}

/// The gid of a team.
///
/// # Errors
/// Why the text has none.
pub fn team(text: &str) -> Result<String, String> {
    listed(text, &["team", "teams"], "a team")
}

/// The gid of a portfolio.
///
/// # Errors
/// Why the text has none.
pub fn portfolio(text: &str) -> Result<String, String> {
    listed(text, &["portfolio"], "a portfolio")
}

fn listed(text: &str, words: &[&str], what: &str) -> Result<String, String> {
    if is_gid(text) {
        return Ok(text.to_owned());
    }
    let segments = segments(text);
    let found = segments.as_deref().and_then(|segments| words.iter().find_map(|word| gid_after(segments, word)));
    found.map(str::to_owned).ok_or_else(|| match segments {
        Some(_) => format!("is an address without the gid of {what}"),
        None => format!("is no gid: expected a number such as 1100000000000001, or the address of {what} in Asana"),
    })
}

/// A stream as `account/gid`, or its gid alone.
///
/// # Errors
/// Why the text is none.
pub fn stream(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((account, rest)) if segments(text).is_none() => Ok(format!("{account}/{}", gid(rest)?)),
        _ => gid(text),
    }
}

/// A stream as `account/gid`.
///
/// # Errors
/// What a stream is.
pub fn stream_id(text: &str) -> Result<StreamId, String> {
    let id = stream(text).ok().and_then(|text| StreamId::parse(&text));
    id.ok_or_else(|| "a stream is ACCOUNT/GID, such as main/1204619611402340".to_owned())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Gids are numbers of 64 bits. They begin with no zero.
fn is_gid(text: &str) -> bool {
    is_number(text) && !text.starts_with('0') && text.parse::<u64>().is_ok()
}

/// The path of an address at Asana, without what follows it; none of another text.
fn segments(text: &str) -> Option<Vec<&str>> {
    let rest = match text.split_once("://") {
        Some(("https" | "http", rest)) => rest,
        Some(_) => return None,
        None => text,
    };
    let (host, path) = rest.split_once('/')?;
    let path = path.split(['?', '#']).next()?;
    let is_asana = host == "asana.com" || host.ends_with(".asana.com");
    is_asana.then(|| path.split('/').filter(|segment| !segment.is_empty()).collect())
}

fn gid_after<'a>(segments: &[&'a str], word: &str) -> Option<&'a str> {
    let (_, gid) =
        segments.iter().zip(segments.iter().skip(1)).find(|(before, gid)| **before == word && is_gid(gid))?;
    Some(*gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gid_is_found_in_any_address_of_its_page() {
        for (text, expected) in [
            ("1204619611402340", "1204619611402340"),
            ("https://app.asana.com/0/12/list", "12"),
            ("https://app.asana.com/0/12/34", "34"),
            ("https://app.asana.com/0/12/34/f", "34"),
            ("https://app.asana.com/0/0/34/f", "34"),
            ("https://app.asana.com/0/12", "12"),
            ("app.asana.com/0/12/board#x", "12"),
            ("https://app.asana.com/1/99/project/12", "12"),
            ("https://app.asana.com/1/99/project/12/list/56", "12"),
            ("https://app.asana.com/1/99/project/12/task/34?focus=true", "34"),
            ("https://app.asana.com/1/99/task/34", "34"),
            ("https://app.asana.com/1/99/task/34/comment/78", "34"),
            ("https://app.asana.com/1/99/goal/56/overview", "56"),
            ("https://app.asana.com/0/goal/56", "56"),
        ] {
            assert_eq!(gid(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_gid_is_refused_with_what_it_is() {
        let why = |text: &str| gid(text).expect_err(text);
        for text in ["Launch", "", "0", "12x", "https://example.com/0/12/list", "ftp://app.asana.com/0/12", "main/12"] {
            assert!(why(text).contains("is no gid"), "{text}");
        }
        assert!(why("https://app.asana.com/0/portfolio/12/list").contains("a portfolio"));
        assert!(why("https://app.asana.com/1/99/team/12").contains("a team"));
        for text in ["https://app.asana.com/1/99/home", "https://app.asana.com/0/inbox/12", "https://app.asana.com/"] {
            assert!(why(text).contains("without the gid"), "{text}");
        }
    }

    #[test]
    fn a_workspace_is_in_newer_addresses_only() {
        assert_eq!(workspace("99").as_deref(), Ok("99"));
        assert_eq!(workspace("https://app.asana.com/1/99/project/12").as_deref(), Ok("99"));
        assert!(workspace("https://app.asana.com/0/12/list").is_err_and(|why| why.contains("/1/")));
        assert!(workspace("Acme").is_err_and(|why| why.contains("is no gid")));
    }

    #[test]
    fn a_stream_is_an_account_and_a_gid_or_the_gid_alone() {
        assert_eq!(stream("main/12").as_deref(), Ok("main/12"));
        assert_eq!(stream("12").as_deref(), Ok("12"));
        assert_eq!(stream("main/https://app.asana.com/0/12/list").as_deref(), Ok("main/12"));
        assert_eq!(stream("https://app.asana.com/0/12/list").as_deref(), Ok("12"));
        assert!(stream("main/x").is_err() && stream("x").is_err());
        assert_eq!(stream_id("main/12"), Ok(StreamId::new("main", "12")));
        assert!(stream_id("12").is_err(), "no account");
    }
}
