//! Answers against the official API description (see `openapi/README.md`).
