//! The command `contract`: the wire contract, for generators of code and for registries.

use super::exit::{Exit, Failure};
use std::io::Write as _;

/// Print the wire contract.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  asana-event-bridge contract > record.proto
  asana-event-bridge contract --json-schema > record.schema.json

Of the topics and subjects with `encoding: protobuf`, the values have the message `Record` of the proto, or `DeadLetter` in the
dead-letter topic. With `encoding: json` they have the form that the JSON Schema describes.")]
#[group(multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub(super) struct ContractArgs {
    /// The proto with its comments, which are the reference (the default)
    #[arg(long)]
    proto: bool,
    /// The proto and its imports as a binary `google.protobuf.FileDescriptorSet`
    #[arg(long)]
    descriptor_set: bool,
    /// The JSON Schema (draft 7) of values in the JSON form
    #[arg(long)]
    json_schema: bool,
    /// The topics, subjects and headers as an `AsyncAPI` document
    #[arg(long)]
    asyncapi: bool,
}

/// Prints what was chosen.
pub(super) fn execute(args: &ContractArgs) -> Result<Exit, Box<dyn Failure>> {
    let document: &[u8] = if args.descriptor_set {
        include_bytes!("../../proto/record.binpb")
    } else if args.json_schema {
        include_bytes!("../../docs/record.schema.json")
    } else if args.asyncapi {
        include_bytes!("../../docs/asyncapi.yaml")
    } else {
        include_bytes!("../../proto/asana_event_bridge/v1/record.proto")
    };
    let mut out = std::io::stdout().lock();
    out.write_all(document)?;
    out.flush()?;
    Ok(Exit::Ok)
}
