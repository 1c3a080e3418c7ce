//! What a table of options is.

use super::load::Values;

/// One option of a process.
#[derive(Debug)]
pub struct Setting {
    /// As in the file: `data_dir`.
    pub key: &'static str,
    /// What holds where nothing is said, in the words of the file.
    pub default: &'static str,
    /// For people, one or two sentences.
    pub doc: &'static str,
}

/// A process with its table of options.
pub trait Process: Sized {
    /// As on the command line: `sidecar`.
    const NAME: &'static str;
    const SETTINGS: &'static [Setting];

    /// Reads every option; `None` where one is at fault, which `values` then knows.
    fn read(values: &mut Values) -> Option<Self>;

    /// What no option alone can say: (the key to blame, what is wrong and what would be right).
    fn contradictions(&self) -> Vec<(&'static str, String)>;
}

/// What every environment variable of this program begins with.
pub const ENV_PREFIX: &str = "BURSAR_";

impl Setting {
    /// `BURSAR_DATA_DIR`
    pub fn env(&self) -> String {
        format!("{ENV_PREFIX}{}", self.key.to_ascii_uppercase())
    }

    /// `data-dir`
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// A yes or no: its flag needs no value.
    pub fn is_switch(&self) -> bool {
        matches!(self.default, "true" | "false")
    }
}

/// Writes a process's configuration and its table from one list, so that neither can lack what the other has.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        $name:ident = $process:literal {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:literal, $parse:expr; )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl $crate::config::setting::Process for $name {
            const NAME: &'static str = $process;
            const SETTINGS: &'static [$crate::config::setting::Setting] = &[
                $( $crate::config::setting::Setting {
                    key: stringify!($field),
                    default: $default,
                    doc: concat!($($doc),+).trim_ascii(),
                }, )+
            ];

            fn read(values: &mut $crate::config::load::Values) -> Option<Self> {
                // Every option is read before the first fault ends it: all errors at once.
                $( let $field: Option<$type> = values.read(stringify!($field), $parse); )+
                Some(Self { $( $field: $field?, )+ })
            }

            fn contradictions(&self) -> Vec<(&'static str, String)> {
                contradictions(self)
            }
        }
    };
}

pub(super) use settings;
