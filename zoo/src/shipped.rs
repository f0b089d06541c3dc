//! The models of `zoo/models`: what each is made of, so that anyone can make it again.

use crate::{DataSet, PackOptions, Work};

/// A model that lies in `zoo/models`.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// What it is called: `zoo/models/NAME`.
    pub name: &'static str,
    /// The [recipe](crate::recipe) that trains it.
    pub recipe: &'static str,
    /// The data that it is trained on, and where they are from; empty where they are generated.
    pub data: &'static str,
    /// The license of the data, and so of the weights, as the hub names it.
    pub license: &'static str,
    /// Of a student: the model that it learns from, one of these.
    pub teacher: Option<&'static str>,
    /// The same as a name, a license and an address.
    data_set: Option<[&'static str; 3]>,
    /// What it is for.
    description: &'static str,
    /// What it is not for, beyond what every card says.
    not_for: &'static str,
    /// What is to be cited.
    works: &'static [Cited],
}

/// A [`Work`] as a constant.
#[derive(Clone, Copy, Debug)]
struct Cited {
    title: &'static str,
    authors: &'static [&'static str],
    year: u16,
    doi: &'static str,
    is_data: bool,
}

const DECATHLON: Cited = Cited {
    title: "The Medical Segmentation Decathlon",
    authors: &["Antonelli, Michela", "Medical Segmentation Decathlon"],
    year: 2022,
    doi: "10.1038/s41467-022-30695-9",
    is_data: true,
};

/// Every model that ships, by name.
pub const SHIPPED: &[Shipped] = &[
    Shipped {
        name: "hippocampus-3d",
        recipe: "hippocampus-3d",
        data: "Medical Segmentation Decathlon, Task04_Hippocampus: 76 of its cases to train on, 20 held out",
        license: "cc-by-sa-4.0",
        teacher: None,
        data_set: Some([
            "Medical Segmentation Decathlon, Task04_Hippocampus",
            "cc-by-sa-4.0",
            "http://medicaldecathlon.com",
        ]),
        description: "Anterior and posterior hippocampus in T1-weighted MR that is cropped around it, 1 mm.",
        not_for: "Not for whole heads: it has seen crops of about 35 × 50 × 35 mm around one hippocampus, and nothing else.",
        works: &[DECATHLON],
    },
    Shipped {
        name: "hippocampus-3d-student",
        recipe: "hippocampus-3d-student",
        data: "Medical Segmentation Decathlon, Task04_Hippocampus: the cases of its teacher",
        license: "cc-by-sa-4.0",
        teacher: Some("hippocampus-3d"),
        data_set: Some([
            "Medical Segmentation Decathlon, Task04_Hippocampus",
            "cc-by-sa-4.0",
            "http://medicaldecathlon.com",
        ]),
        description: "As `hippocampus-3d`, by a network of a thirteenth of its parameters, which has learned from what that one says.",
        not_for: "Not for whole heads: it has seen crops of about 35 × 50 × 35 mm around one hippocampus, and nothing else.",
        works: &[DECATHLON],
    },
    Shipped {
        name: "lung-nodule-2d-soft",
        recipe: "lidc-soft",
        data: "LIDC-IDRI, crops of 128 × 128 pixels around nodules: slices of 60 patients, four radiologists each",
        license: "cc-by-3.0",
        teacher: None,
        data_set: Some([
            "LIDC-IDRI",
            "cc-by-3.0",
            "https://www.cancerimagingarchive.net/collection/lidc-idri",
        ]),
        description: "The probability that a radiologist would mark a pixel as lung nodule, in slices of CT. Trained on the mean of four \
                      radiologists, who often disagree whether there is a nodule at all, by the Dice semimetric loss.",
        not_for: "Not for finding nodules: it has only seen crops that some radiologist had marked, in one window of intensities, \
                  without their Hounsfield units.",
        works: &[
            Cited {
                title: "The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative (IDRI): a completed \
                        reference database of lung nodules on CT scans",
                authors: &["Armato, Samuel G.", "The LIDC and IDRI"],
                year: 2011,
                doi: "10.1118/1.3528204",
                is_data: true,
            },
            Cited {
                title: "Dice Semimetric Losses: Optimizing the Dice Score with Soft Labels",
                authors: &[
                    "Wang, Zifu",
                    "Popordanoska, Teodora",
                    "Bertels, Jeroen",
                    "Lemmens, Robin",
                    "Blaschko, Matthew B.",
                ],
                year: 2023,
                doi: "10.48550/arXiv.2303.16296",
                is_data: false,
            },
        ],
    },
    Shipped {
        name: "nuclei-2d",
        recipe: "nuclei-2d",
        data: "Data Science Bowl 2018, stage 1 (BBBC038): 32 of its pictures to train on, 8 held out",
        license: "cc0-1.0",
        teacher: None,
        data_set: Some([
            "Data Science Bowl 2018, stage 1",
            "cc0-1.0",
            "https://bbbc.broadinstitute.org/BBBC038",
        ]),
        description: "Nuclei in microscope pictures, fluorescent or stained. Trained by the calibrated Dice loss, DSC++.",
        not_for: "Not for counting: nuclei that touch are one region.",
        works: &[
            Cited {
                title: "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl",
                authors: &["Caicedo, Juan C.", "Broad Bioimage Benchmark Collection"],
                year: 2019,
                doi: "10.1038/s41592-019-0612-7",
                is_data: true,
            },
            Cited {
                title: "Calibrating the Dice Loss to Handle Neural Network Overconfidence for Biomedical Image Segmentation",
                authors: &[
                    "Yeung, Michael",
                    "Rundo, Leonardo",
                    "Nan, Yang",
                    "Sala, Evis",
                    "Schönlieb, Carola-Bibiane",
                    "Yang, Guang",
                ],
                year: 2023,
                doi: "10.1007/s10278-022-00735-3",
                is_data: false,
            },
        ],
    },
    Shipped {
        name: "phantom-3d",
        recipe: "phantom-3d",
        data: "",
        license: "cc0-1.0",
        teacher: None,
        data_set: None,
        description: "An organ in generated volumes, as four made-up raters see it: what `sconce quickstart` trains, to show and test the tools.",
        not_for: "Not for anything but tests: it has never seen an image of a patient.",
        works: &[],
    },
    Shipped {
        name: "polyp-2d",
        recipe: "polyp-2d",
        data: "EndoTect's test set, part of HyperKvasir: 160 of its pictures to train on, 40 held out, and 20 of ulcerative colitis \
               without a polyp",
        license: "cc-by-4.0",
        teacher: None,
        data_set: Some(["EndoTect, part of HyperKvasir", "cc-by-4.0", "https://endotect.com"]),
        description: "Polyps in pictures of colonoscopy, by cross entropy. Held out are pictures with polyps, and 20 of ulcerative colitis \
                      without any: how often it sees one there is its rate of false alarms.",
        not_for: "Not for detection during endoscopy: it was trained from scratch on 160 still pictures of one source, each with a polyp.",
        works: &[
            Cited {
                title: "HyperKvasir, a comprehensive multi-class image and video dataset for gastrointestinal endoscopy",
                authors: &["Borgli, Hanna", "Simula Research Laboratory"],
                year: 2020,
                doi: "10.1038/s41597-020-00622-y",
                is_data: true,
            },
            Cited {
                title: "On the Optimal Combination of Cross-Entropy and Soft Dice Losses for Lesion Segmentation with \
                        Out-of-Distribution Robustness",
                authors: &[
                    "Galdran, Adrian",
                    "Carneiro, Gustavo",
                    "González Ballester, Miguel Ángel",
                ],
                year: 2022,
                doi: "10.48550/arXiv.2209.06078",
                is_data: false,
            },
        ],
    },
];

/// The shipped model of that name.
pub fn shipped(name: &str) -> Option<Shipped> {
    SHIPPED.iter().copied().find(|model| model.name == name)
}

impl Shipped {
    /// What its card says beyond its run.
    pub fn pack_options(&self) -> PackOptions {
        let data = match self.data {
            "" => "Trained on generated data.".to_owned(),
            data => format!("Trained on {data}."),
        };
        PackOptions {
            name: self.name.to_owned(),
            license: self.license.to_owned(),
            description: format!("{}\n\n{data}", self.description),
            not_for: self.not_for.to_owned(),
            datasets: self.data_set.into_iter().map(data_set).collect(),
            authors: vec!["the authors of sconce".to_owned()],
            works: self.works.iter().map(Cited::work).collect(),
            base_model: self.teacher.map(|teacher| format!("sconce/{teacher}")),
            ..PackOptions::default()
        }
    }
}

fn data_set([name, license, source]: [&str; 3]) -> DataSet {
    let [license, source] = [license, source].map(|text| Some(text.to_owned()));
    DataSet { name: name.to_owned(), license, source }
}

impl Cited {
    fn work(&self) -> Work {
        Work {
            title: self.title.to_owned(),
            authors: self.authors.iter().map(|&author| author.to_owned()).collect(),
            year: self.year,
            doi: self.doi.to_owned(),
            is_data: self.is_data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::license::License;
    use crate::recipe;

    #[test]
    fn every_model_has_a_recipe_a_license_and_a_teacher_that_ships() {
        for model in SHIPPED {
            assert!(recipe(model.recipe).is_some(), "{}", model.name);
            assert!(License::find(model.license).is_ok(), "{}", model.name);
            assert!(
                model.teacher.is_none_or(|teacher| shipped(teacher).is_some()),
                "{}",
                model.name
            );
        }
        assert!(SHIPPED.is_sorted_by_key(|model| model.name));
    }
}
