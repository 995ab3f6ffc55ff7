//! What of a call is compared with what: a revision, how many replicas of its operator there are and what CPU each has, and
//! among how many objects orders are placed.

use crate::crowd::Size;
use crate::revision::Revision;

/// One side of a comparison.
#[derive(Debug, Clone)]
pub(crate) struct Arm {
    /// As it is called in the report.
    pub(crate) name: String,
    pub(crate) revision: Revision,
    /// Replicas of the operator.
    pub(crate) replicas: usize,
    /// How much of a processor each replica has; `None`: what there is.
    pub(crate) cores: Option<f64>,
    /// What is there before the first order; `None`: nothing.
    pub(crate) crowd: Option<Size>,
}

impl Arm {
    /// Every revision with every number of replicas, and each of these among nothing and, where there is one, in a crowd.
    pub(crate) fn all(
        revisions: &[Revision],
        replicas: &[usize],
        cores: Option<f64>,
        crowd: Option<Size>,
    ) -> Vec<Self> {
        let mut all = Vec::new();
        for revision in revisions {
            for replicas in replicas.iter().copied() {
                for crowd in std::iter::once(None).chain(crowd.map(Some)) {
                    let several = if replicas > 1 { format!(" x{replicas}") } else { String::new() };
                    let among = if crowd.is_some() { " in a crowd" } else { "" };
                    let name = format!("{}{several}{among}", revision.name);
                    all.push(Self { name, revision: revision.clone(), replicas, cores, crowd });
                }
            }
        }
        all
    }
}
