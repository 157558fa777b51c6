//! The blocks of code of a Markdown document.

/// A block between fences.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// What follows the first fence. Empty if nothing does.
    pub(crate) language: String,
    /// The line of the first fence, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// All blocks, in order.
pub(crate) fn blocks(markdown: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in markdown.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { language: language.trim().to_owned(), line: number + 1, text: String::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => {
                block.text += line;
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block without an end: {open:?}");
    found
}
