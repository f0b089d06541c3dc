//! Run files that come with the program.

/// A run file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// What it is called: `zoo/recipes/NAME.toml`.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// Every recipe, by name.
pub const RECIPES: &[Recipe] = &[
    Recipe { name: "hippocampus-3d", text: include_str!("../recipes/hippocampus-3d.toml") },
    Recipe {
        name: "hippocampus-3d-student",
        text: include_str!("../recipes/hippocampus-3d-student.toml"),
    },
    Recipe { name: "lidc-majority", text: include_str!("../recipes/lidc-majority.toml") },
    Recipe { name: "lidc-soft", text: include_str!("../recipes/lidc-soft.toml") },
    Recipe { name: "nuclei-2d", text: include_str!("../recipes/nuclei-2d.toml") },
    Recipe { name: "phantom-2d", text: include_str!("../recipes/phantom-2d.toml") },
    Recipe { name: "phantom-2d-student", text: include_str!("../recipes/phantom-2d-student.toml") },
    Recipe { name: "phantom-3d", text: include_str!("../recipes/phantom-3d.toml") },
    Recipe { name: "phantom-prompts", text: include_str!("../recipes/phantom-prompts.toml") },
    Recipe { name: "polyp-2d", text: include_str!("../recipes/polyp-2d.toml") },
];

/// The recipe of that name.
pub fn recipe(name: &str) -> Option<Recipe> {
    RECIPES.iter().copied().find(|recipe| recipe.name == name)
}

#[cfg(test)]
mod tests {
    use engine::RunConfig;

    use super::*;

    #[test]
    fn every_recipe_is_a_valid_run_file() {
        for recipe in RECIPES {
            let config = RunConfig::from_text(recipe.text);
            assert!(config.is_ok(), "{}: {config:?}", recipe.name);
        }
    }

    #[test]
    fn every_file_of_the_folder_is_a_recipe() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        names.sort();

        let known: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name).collect();
        assert_eq!(names, known);
    }
}
