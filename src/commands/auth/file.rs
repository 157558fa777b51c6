//! Writes the refresh token to a file that only its owner can read.

use super::AuthError;
use crate::config::Secret;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Where the refresh token will be.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    folder: PathBuf,
    replace: bool,
}

impl Target {
    /// Checks that the file may be written, before the user is asked.
    ///
    /// # Errors
    /// The file exists and isn't to be replaced, or its folder isn't writable.
    pub(super) fn check(path: &Path, replace: bool) -> Result<Self, AuthError> {
        let failed = |source| AuthError::File { path: path.to_owned(), source };
        // The configuration has the path, too, and the bridge may start in another folder.
        let path = std::path::absolute(path).map_err(failed)?;
        match std::fs::symlink_metadata(&path) {
            Ok(_) if !replace => return Err(AuthError::Exists { path }),
            Ok(there) if there.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let folder = path.parent().ok_or_else(|| failed(io::ErrorKind::IsADirectory.into()))?.to_owned();
        NamedTempFile::new_in(&folder).map_err(failed)?;
        Ok(Self { path, folder, replace })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file, all of it or nothing. It can be read and written by its owner only, from the first byte on.
    ///
    /// # Errors
    /// It can't be written, or somebody else wrote it meanwhile.
    pub(super) fn write(&self, secret: &Secret) -> Result<(), AuthError> {
        let failed = |source| AuthError::File { path: self.path.clone(), source };
        // Temporary files have the mode 0600.
        let mut file = NamedTempFile::new_in(&self.folder).map_err(failed)?;
        writeln!(file, "{}", secret.expose()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        let persisted = if self.replace { file.persist(&self.path) } else { file.persist_noclobber(&self.path) };
        match persisted {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(AuthError::Exists { path: self.path.clone() });
            }
            Err(error) => return Err(failed(error.error)),
        }
        // The new name is durable, too. Asana gives the token once only.
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn the_file_is_its_owners_only_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let target = Target::check(&path, false).unwrap();
        assert!(names(folder.path()).is_empty(), "a check leaves nothing");
        target.write(&Secret::new("secret")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "secret\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["token"]);
    }

    #[test]
    fn a_file_is_replaced_only_on_demand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let early = Target::check(&path, false).unwrap();
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Target::check(&path, false), Err(AuthError::Exists { .. })));
        assert!(matches!(early.write(&Secret::new("new")), Err(AuthError::Exists { .. })), "it came meanwhile");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        Target::check(&path, true).unwrap().write(&Secret::new("new")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["token"]);
    }

    #[test]
    fn what_can_not_be_written_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("missing/token"), folder.path().to_owned()] {
            let error = Target::check(&path, true).unwrap_err();
            assert!(matches!(error, AuthError::File { .. }), "{error}");
        }
    }
}
