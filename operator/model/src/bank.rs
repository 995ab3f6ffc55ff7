//! The payment provider: it keeps its first final answer under each idempotency key, and what is on the wire may
//! arrive at any later time.

/// A request that changes money. The key is the payment's uid and the operation; there is one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    /// Take the money.
    Charge(u8),
    /// Give it back.
    Refund(u8),
    /// See to it that it can never be taken; of a prepared payment.
    Void(u8),
}

/// What goes wrong in one call to the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderFault {
    /// Nothing: it does what it is asked and says so.
    None,
    /// It refuses the card, if it is asked for the first time.
    Declines,
    /// The connection is refused: nothing was sent.
    Unreachable,
    /// No answer, and the request is lost: a 5xx or a dropped connection before the money moved.
    Lost,
    /// No answer, and the request is still under way: it may arrive at any later time, or has arrived (a 5xx or a
    /// dropped connection after the money moved is the same with no time in between).
    Stalled,
    /// A look-up that does not find what is there.
    Blind,
}

/// The provider's first final answer to a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charged {
    /// It took the money.
    Captured,
    /// It never will under this key.
    Declined,
}

/// Number of payments that can be told apart.
pub const UIDS: usize = 4;

/// The provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Bank {
    /// The first answer to each payment's charge.
    pub charges: [Option<Charged>; UIDS],
    /// Whether each payment was given back.
    pub returned: [bool; UIDS],
    /// Whether each prepared payment was voided.
    pub voided: [bool; UIDS],
    /// How often money was taken.
    pub captures: u8,
    /// How often money was given back.
    pub refunds: u8,
    /// Requests under way, sorted.
    pub wire: Vec<Request>,
}

impl Bank {
    /// Whether money is with the marketplace now.
    pub fn has_money(&self) -> bool {
        self.captures > self.refunds
    }

    /// Carries a request out, once per key.
    pub fn execute(&mut self, request: Request, declines: bool) {
        match request {
            Request::Charge(uid) => {
                let declines = declines || self.was_voided(uid);
                if let Some(answer @ None) = self.charges.get_mut(usize::from(uid)) {
                    *answer = Some(if declines { Charged::Declined } else { Charged::Captured });
                    self.captures += u8::from(!declines);
                }
            }
            Request::Refund(uid) => {
                let captured = self.charge(uid) == Some(Charged::Captured);
                if let Some(returned @ false) = self.returned.get_mut(usize::from(uid))
                    && captured
                {
                    *returned = true;
                    self.refunds += 1;
                }
            }
            Request::Void(uid) => {
                let captured = self.charge(uid) == Some(Charged::Captured);
                if let Some(voided) = self.voided.get_mut(usize::from(uid))
                    && !captured
                {
                    *voided = true;
                }
            }
        }
    }

    /// The first answer to a charge.
    pub fn charge(&self, uid: u8) -> Option<Charged> {
        self.charges.get(usize::from(uid)).copied().flatten()
    }

    /// Whether a payment was given back.
    pub fn was_returned(&self, uid: u8) -> bool {
        self.returned.get(usize::from(uid)).copied().unwrap_or(false)
    }

    /// Whether a prepared payment was voided.
    pub fn was_voided(&self, uid: u8) -> bool {
        self.voided.get(usize::from(uid)).copied().unwrap_or(false)
    }

    /// Puts a request on the wire.
    pub fn stall(&mut self, request: Request) {
        self.wire.push(request);
        self.wire.sort_unstable();
    }
}
