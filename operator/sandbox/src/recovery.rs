//! How a sandbox starts: it opens the ledger and resumes where an earlier run with the same file stopped.
//!
//! Above the dialects, which know how a movement of money was requested and answered.

use jiff::Timestamp;

use crate::bank::Restored;
use crate::config::Config;
use crate::ledger::{Ledger, LedgerError};
use crate::state::{App, Core};
use crate::{stripe, toss};

/// Opens the ledger and restores the state that it records.
pub(crate) fn open(config: Config) -> Result<App, LedgerError> {
    let ledger = match &config.ledger_file {
        Some(path) => Ledger::open(path)?,
        None => Ledger::in_memory(),
    };
    let mut core = Core::new(&config, ledger);
    restore(&mut core, &config)?;
    Ok(App::new(config, core))
}

/// Rebuilds payments and the responses to their idempotency keys from the ledger. It does not record the API key of a
/// request, so the responses are kept for each configured one.
fn restore(core: &mut Core, config: &Config) -> Result<(), LedgerError> {
    let Core { bank, ledger, keys, .. } = core;
    for (index, entry) in ledger.entries().iter().enumerate() {
        let restored = bank.restore(entry).map_err(|why| LedgerError::Corrupt { line: index + 1, why })?;
        let Some(key) = &entry.idempotency_key else { continue };
        let (paths, answer) = match restored {
            Restored::Toss(payment) => toss::restored(payment, entry.kind),
            Restored::Stripe(intent) => stripe::restored(intent, entry.kind),
        };
        for api_key in &config.secret_keys {
            keys.of(entry.dialect()).restore(key, api_key.expose(), &paths, &answer, entry.at);
        }
    }
    tracing::info!(entries = ledger.entries().len(), at = %Timestamp::now(), "ledger opened");
    Ok(())
}
