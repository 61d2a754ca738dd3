//! Every channel with the real daemons against its provider's simulator: 5,000 events of mixed good, dead, foreign and
//! throttled tokens; and an account that is wrong for everybody. One run for all channels ([`run`]), told apart by
//! tables ([`ways`]). Each channel is a test of its own.

mod mqtt;
mod run;
mod site;
mod way;
mod ways;

use run::{mixed, outnumbered, wrong};

macro_rules! channels {
    ($($name:ident: $way:ident;)*) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn every_target_meets_its_documented_fate() {
                super::mixed(&super::ways::$way).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_wrong_account_holds_everything_back_and_loses_nothing() {
                super::wrong(&super::ways::$way).await;
            }
        }
    )*};
}

channels! {
    apns: APNS;
    fcm: FCM;
    hms_v1: HMS_V1;
    hms_v3: HMS_V3;
    xiaomi: XIAOMI;
    oppo: OPPO;
    vivo: VIVO;
    honor: HONOR;
    web_push: WEB_PUSH;
    webhook: WEBHOOK;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_fifths_of_bad_apns_tokens_are_a_matter_of_configuration() {
    outnumbered(&ways::APNS, ways::TWO_FIFTHS).await;
}
