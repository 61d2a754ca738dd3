//! The one place where the channel and its simulator meet: an account of the configuration is an app that the service
//! knows.

use crate::{simulator, xinge};

impl From<&xinge::Account> for simulator::App {
    fn from(account: &xinge::Account) -> Self {
        let flavour = match account.flavour {
            xinge::Flavour::V2 => simulator::Flavour::V2,
            xinge::Flavour::V3 => simulator::Flavour::V3,
            xinge::Flavour::Tpns => simulator::Flavour::Tpns,
        };
        Self {
            flavour,
            access_id: account.access_id.clone(),
            secret: account.secret.clone(),
            platform: account.platform,
        }
    }
}
