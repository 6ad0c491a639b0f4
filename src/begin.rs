//! `gen_config`: a configuration to begin with, which serves as it is.
//!
//! The trap: it will hold keys, so nobody else may read it; and one that is there is never touched.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file, by name, and what stands in it.
pub(crate) type File = (&'static str, &'static str);

/// In openai-forward's words.
pub(crate) const ENV: File = (".env", include_str!("../conf/default.env"));

/// The least that runs.
pub(crate) const TOML: File = ("aifd.toml", include_str!("../conf/minimal.toml"));

/// Writes it into a folder; what to say of that.
///
/// # Errors
/// Why there is none, in words for people.
pub(crate) fn write(dir: &Path, (name, text): File) -> Result<String, String> {
    let path = dir.join(name);
    let shown = path.display();
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&path);
    let mut file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => format!("{shown}: is there already and stays as it is"),
        _ => format!("{shown}: cannot be written: {error}"),
    })?;
    file.write_all(text.as_bytes()).map_err(|error| format!("{shown}: {error}"))?;
    let before = dir.join(TOML.0);
    Ok(match before.exists() && before != path {
        true => format!("{shown}: written, but {} is read before it\n", before.display()),
        false => format!("{shown}: written; read it, then start in its folder: aifd run\n"),
    })
}
