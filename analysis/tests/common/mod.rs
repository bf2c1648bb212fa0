//! What several tests need.

use std::path::{Path, PathBuf};

/// The folder of captures of real stacks, if it is there: `MPTCP_REFERENCE`, or `../shared/reference` beside the
/// workspace.
pub(crate) fn reference() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference");
    let folder = std::env::var_os("MPTCP_REFERENCE").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: no reference captures in {}", folder.display());
    None
}
