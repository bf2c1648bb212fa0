//! The directory of results: built under a temporary name beside its place and renamed when complete, so
//! that a directory of that name is either whole or not there.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::failure::Failure;

/// The file that marks a directory as written by this program.
pub(crate) const MANIFEST: &str = "manifest.json";

/// What a directory of results is of: the key of its manifest that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// A run of a scenario.
    Run,
    /// An analysis of captures.
    Analysis,
}

impl Contents {
    const fn key(self) -> &'static str {
        match self {
            Self::Run => "scenario",
            Self::Analysis => "captures",
        }
    }

    /// Whether a directory holds these, by its manifest.
    fn are_in(self, directory: &Path) -> bool {
        let manifest = fs::read(directory.join(MANIFEST)).ok();
        let manifest = manifest.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
        manifest
            .is_some_and(|manifest| manifest.get("program").is_some() && manifest.get(self.key()).is_some())
    }
}

/// Where a directory of results goes, known to be free or of an earlier command of the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination(PathBuf);

/// A directory being written. Dropped before [`finish`](Self::finish), it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Directory {
    temporary: PathBuf,
    destination: PathBuf,
    finished: bool,
}

impl Destination {
    /// Checks that writing `path` would overwrite nothing but results of the kind.
    ///
    /// # Errors
    /// If there is a file, or a directory with other contents.
    pub(crate) fn new(path: PathBuf, contents: Contents) -> Result<Self, Failure> {
        let refuse = |what: &str| {
            let help = "name a new directory, or remove this one";
            Err(Failure::message(format!("{} {what}", path.display()), help.to_owned()))
        };
        if path.file_name().is_none() {
            return refuse("is no name for a directory of results");
        }
        match fs::read_dir(&path) {
            Ok(mut entries) => {
                if entries.next().is_none() || contents.are_in(&path) {
                    return Ok(Self(path));
                }
                refuse(match contents {
                    Contents::Run => "exists and holds something else than results of a run",
                    Contents::Analysis => "exists and holds something else than an analysis",
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self(path)),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => refuse("is not a directory"),
            Err(error) => Err(Failure::io("read", &path, &error)),
        }
    }

    /// The path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Starts writing.
    ///
    /// # Errors
    /// If the temporary directory cannot be made.
    pub(crate) fn create(&self) -> Result<Directory, Failure> {
        let temporary = sibling(&self.0, "part");
        let made = match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir_all(&temporary),
        };
        made.map_err(|error| Failure::io("create", &temporary, &error))?;
        Ok(Directory { temporary, destination: self.0.clone(), finished: false })
    }
}

impl Directory {
    /// The path of a file while the directory is being written.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temporary.join(name)
    }

    /// Writes one file.
    ///
    /// # Errors
    /// If that fails.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<(), Failure> {
        let path = self.path(name);
        fs::write(&path, contents).map_err(|error| Failure::io("write", &path, &error))
    }

    /// Opens a file for buffered writing.
    ///
    /// # Errors
    /// If that fails.
    pub(crate) fn create(&self, name: &str) -> Result<BufWriter<File>, Failure> {
        let path = self.path(name);
        let file = File::create(&path).map_err(|error| Failure::io("write", &path, &error))?;
        Ok(BufWriter::with_capacity(1 << 16, file))
    }

    /// Names of the files so far, in alphabetical order.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub(crate) fn files(&self) -> Result<Vec<String>, Failure> {
        let names = fs::read_dir(&self.temporary).and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        });
        let mut names: Vec<String> = names.map_err(|error| Failure::io("read", &self.temporary, &error))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Puts the directory in its place, instead of an earlier one.
    ///
    /// # Errors
    /// If that fails; the earlier directory is then still there, under a name that ends in `.old` at worst.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let old = sibling(&self.destination, "old");
        let moved = || {
            if self.destination.exists() {
                if old.exists() {
                    fs::remove_dir_all(&old)?;
                }
                fs::rename(&self.destination, &old)?;
            }
            fs::rename(&self.temporary, &self.destination)?;
            if old.exists() { fs::remove_dir_all(&old) } else { Ok(()) }
        };
        moved().map_err(|error| Failure::io("write", &self.destination, &error))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.finished {
            // The run has failed already; what is left behind is under a temporary name.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// Writes one file under a temporary name beside its place, then renames it.
///
/// # Errors
/// If that fails.
pub(crate) fn write_file(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), Failure> {
    if path.file_name().is_none() {
        return Err(Failure::message(format!("{} is no name for a file", path.display()), None));
    }
    let temporary = sibling(path, "part");
    let written = fs::write(&temporary, contents).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        // The error of interest is the first.
        let _ = fs::remove_file(&temporary);
        Failure::io("write", path, &error)
    })
}

/// Writes one file of JSON, as [`write_file`].
///
/// # Errors
/// If that fails.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value);
    let json = json.map_err(|error| Failure::message(error.to_string(), None))?;
    write_file(path, json + "\n")
}

/// A hidden name beside `path`. The process number keeps runs apart that write to one place at once.
fn sibling(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{ending}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn run_at(path: PathBuf) -> Result<Destination, Failure> {
        Destination::new(path, Contents::Run)
    }

    fn contents(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_directory_appears_when_it_is_complete() {
        let root = tempfile::tempdir().unwrap();
        let destination = run_at(root.path().join("a/b")).unwrap();
        let directory = destination.create().unwrap();
        directory.write(MANIFEST, "{}").unwrap();
        directory.create("x.csv").unwrap().write_all(b"1\n").unwrap();
        assert!(!destination.path().exists());
        assert_eq!(directory.files().unwrap(), [MANIFEST, "x.csv"]);
        directory.finish().unwrap();
        assert_eq!(contents(&root.path().join("a")), ["b"]);
        assert_eq!(contents(destination.path()), [MANIFEST, "x.csv"]);
    }

    #[test]
    fn results_of_an_earlier_run_are_replaced_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        fs::create_dir(&path).unwrap();
        fs::write(path.join(MANIFEST), "{\"program\": \"mptcp-sim\", \"scenario\": \"x\"}").unwrap();
        fs::write(path.join("stale.svg"), "").unwrap();
        let directory = run_at(path.clone()).unwrap().create().unwrap();
        directory.write(MANIFEST, "{}").unwrap();
        directory.finish().unwrap();
        assert_eq!(contents(&path), [MANIFEST]);
        assert_eq!(contents(root.path()), ["run"]);
    }

    #[test]
    fn a_directory_that_is_given_up_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        drop(run_at(root.path().join("run")).unwrap().create().unwrap());
        assert!(contents(root.path()).is_empty());
    }

    #[test]
    fn nothing_else_than_results_is_overwritten() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.tex"), "").unwrap();
        assert!(run_at(root.path().to_owned()).is_err());
        assert!(run_at(root.path().join("thesis.tex")).is_err());
        assert!(run_at(PathBuf::from("/")).is_err());
    }

    #[test]
    fn an_analysis_does_not_replace_the_run_it_is_of() {
        let root = tempfile::tempdir().unwrap();
        let manifest = |key: &str| format!("{{\"program\": \"mptcp-sim\", \"{key}\": []}}");
        for (key, run, analysis) in
            [("scenario", true, false), ("captures", false, true), ("name", false, false)]
        {
            fs::write(root.path().join(MANIFEST), manifest(key)).unwrap();
            let allowed = |contents| Destination::new(root.path().to_owned(), contents).is_ok();
            assert_eq!((allowed(Contents::Run), allowed(Contents::Analysis)), (run, analysis), "{key}");
        }
    }
}
