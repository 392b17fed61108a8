// Every command and every option of tvc, one entry each. Parsing, --help, completion and the
// manual page all come of this page. Included twice, for commands and for options.
//
//   COMMAND(id, "name", arguments, summary, about, examples)
//   GROUP(id, heading)
//   OPTION(ID, "long-name", letter or 0, argument or NULL, group, commands, help)
//
// An argument written in lower case is a choice ("last|module"), FILE and DIR are paths. Options
// may repeat where the help says so; otherwise the last one counts.

#ifdef COMMAND
COMMAND(inspect, "inspect", "MODEL", "what is in a model, and where its head is",
        "Layers with their shapes, parameters and FLOPs (two per multiply-add of convolutions and matrix products), "
        "the opset, the preparation of pictures and the labels found in the file, and the classifying layers with "
        "the reason why they were taken for that.",
        "tvc inspect resnet50.onnx\n"
        "tvc inspect resnet50.onnx --json | jq .head\n"
        "tvc inspect resnet50.onnx --dot | dot -Tsvg -o resnet50.svg\n")
COMMAND(check, "check", "MODEL", "can a model be compiled, can it be trained",
        "Reads the model as compiling would, without compiling. With --train: which operators have no gradient, and what to "
        "freeze so that the rest can be trained; the exit code is 1 if something stands in the way. JSON keys: trainable, "
        "parameters, no_gradient (operator, node), behind (parameters before those), never_reached, freeze.",
        "tvc check detector.onnx\n"
        "tvc check model.onnx --train --freeze none\n")
COMMAND(edit, "edit", "MODEL", "change a model and write it back as ONNX",
        "What no option touches stays as it was, byte for byte. OUT may be MODEL itself.",
        "tvc edit resnet50.onnx --replace-head 10 -o mine.onnx\n"
        "tvc edit vgg16.onnx --replace-head 10 --head-hidden 512 --head-dropout 0.5 --head-scope module -o mine.onnx\n"
        "tvc edit resnet50.onnx --input-channels 4 --freeze backbone -o rgbd.onnx\n"
        "tvc edit resnet50.onnx --cut /Flatten_output_0 -o features.onnx\n")
COMMAND(new, "new", "NETWORK", "a network with random weights, where nothing is pretrained",
        "NETWORK is resnet18, resnet34, resnet50, resnet101 or resnet152 as torchvision builds them, or, for small pictures, "
        "resnet8, resnet20, resnet32, resnet44 or resnet56. Parameters have torchvision's names.",
        "tvc new resnet18 -o fresh.onnx\n"
        "tvc new resnet8 --input-channels 1 --size 28 -o small.onnx\n"
        "tvc train small.onnx photos/ --recipe full -o mine.onnx\n")
COMMAND(compile, "compile", "MODEL", "compile a model, edited on the way, into the cache or a package",
        "The package runs with `tvc run` on a machine without compiler and without the ONNX file. It is a program: "
        "take packages only from where you would take a program. With --train it holds init, features, forward and "
        "train_step, for an application that trains with the runtime library (examples/trainer); JSON keys: functions (name, "
        "kernels, arena_bytes), frozen_share (of the parameters), saved_bytes (kept from the way forward for the gradients), "
        "more_targets (the same of each further --target). "
        "JSON, plan: per function its kernels in order, each with schedule, flops (two per multiply-add) and bytes (read and "
        "written) at the greatest batch, what it reads and writes (buffers); for a GPU blocks, threads, registers, spilled_bytes. "
        "For a GPU the plan's kernels that are plain products of matrices have a product (m, n, k, count, factors, result, "
        "bias, residual, relu): cuBLASLt may compute them instead (--cublas).",
        "tvc compile resnet50.onnx\n"
        "tvc compile resnet50.onnx --train --replace-head 10 --batch 16 -o learner.tvc\n"
        "tvc compile resnet50.onnx --replace-head 10 -o mine.tvc\n"
        "tvc compile resnet50.onnx --precision bf16 --target cuda:sm_90 --target cpu -o mine.tvc\n"
        "tvc compile resnet50.onnx --batch 1..32 --target cpu:avx2 -o mine.tvc\n")
COMMAND(run, "run", "MODEL|PACKAGE [IMAGE|FILE.idx.gz:FIRST-LAST ...]", "run a model on pictures or arrays",
        "Pictures are prepared as the model's file says, or as the options say. With --input instead of pictures, "
        "arrays go in as they are. JSON: for each file, top (index, label, score), or values of a model that tells numbers.",
        "tvc run resnet50.onnx cat.jpg\n"
        "tvc run mine.tvc pictures/*.jpg --top 1 --json\n"
        "tvc run resnet50.onnx cat.jpg --mean 0.5 --std 0.5 --crop 224\n"
        "tvc run resnet50.onnx --input input=x.npy --values '*' --dump values/\n")
COMMAND(verify, "verify", "MODEL|CASE|SUITE ...", "check models against expected outputs",
        "A CASE is a folder with model.onnx and test_data_set_*, or NAME.onnx with NAME_output_0.pb beside it (its "
        "inputs are then arange(n)/n). A SUITE is a folder of these, at any depth. A MODEL is taken with the data "
        "beside it. The last line counts what passed, failed and was skipped. With --batch N, models are compiled for a free "
        "batch of up to N and run on what the data holds.",
        "tvc verify onnx/backend/test/data/node\n"
        "tvc verify models/resnet20 --rtol 1e-3 --atol 1e-4\n"
        "tvc verify models/resnet20 --batch 8\n")
COMMAND(compare, "compare", "MODEL [MODEL]", "the same input through two models or devices",
        "Values are compared node by node where names agree. With one model, the device is compared with the evaluator.",
        "tvc compare a.onnx b.onnx\n"
        "tvc compare a.onnx --device cpu --device eval\n"
        "tvc compare a.onnx --device cuda --device cpu --precision bf16 --rtol 0.05 --atol 0.05\n")
COMMAND(bench, "bench", "MODEL|PACKAGE", "time a model",
        "With --serve it waits for lines on stdin: for each `run` one inference is made and its milliseconds are "
        "printed; `quit` ends it. JSON: median_ms, min_ms, p90_ms, p99_ms, images_per_second, batch, iterations, "
        "open_seconds (compiling and loading), cublas_kernels (how many are left to cuBLASLt), profile.",
        "tvc bench resnet50.onnx --threads 2\n"
        "tvc bench resnet50.onnx --batch 8 --profile\n"
        "tvc bench resnet50.onnx --device cuda --batch 256 --precision bf16 --cublas always\n")
COMMAND(train, "train", "MODEL PHOTOS", "teach a model new classes, from photos in folders",
        "The head is replaced by one of as many classes as PHOTOS has, unless they are the model's own. PHOTOS is as for "
        "`tvc data check`. What is not said is chosen by the recipe and printed. --recipe head (the default) trains the new "
        "head alone, which takes seconds; finetune then goes on with everything, the earlier layers slower; full trains "
        "everything from the start. A batch has 32 pictures, where there are few a sixth of them. Ctrl-C ends the step, saves and "
        "says how to go on; a second one ends at once. Besides OUT there is a folder OUT.run with report.html, metrics.jsonl and "
        "results.csv (as of the last checkpoint while it runs), best.onnx and checkpoints. A list PHOTOS.csv may have several labels "
        "a picture (a;b;c), or with --loss mse or l1 numbers. JSON keys: best_top1, best_loss, best_epoch, epochs, seconds, output, "
        "run_dir, unreadable.",
        "tvc train mobilenetv2.onnx photos/ -o mine.onnx\n"
        "tvc train resnet50.onnx photos/ --recipe finetune --epochs 15 -o mine.onnx\n"
        "tvc train resnet18.onnx photos/ --freeze 'conv1*,layer1*' --lr 1e-3 --schedule cosine -o mine.onnx\n"
        "tvc train --resume mine.run\n")
COMMAND(lr_find, "lr-find", "MODEL PHOTOS", "try learning rates, and suggest one",
        "A few training steps at rates that grow exponentially from --from to --to, as `tvc train` would make them with the "
        "same options, until the loss runs away. Suggested is the middle of the longest stretch in which the smoothed loss "
        "falls; also told are where it falls fastest and where it is least. The model is not changed. JSON: suggestion, "
        "valley, steepest, least (rates, or null), diverged, rates, losses, smoothed.",
        "tvc lr-find mobilenetv2.onnx photos/\n"
        "tvc lr-find resnet50.onnx photos/ --recipe full --batch 16 --to 1\n"
        "tvc lr-find resnet18.onnx photos/ --json | jq .suggestion\n")
COMMAND(eval, "eval", "MODEL PHOTOS", "how good a model is on photos",
        "The validation split of PHOTOS counts, or --split NAME, or all of a folder of class folders. Folders are matched "
        "to the model's labels by name; one it does not know is exit code 9. Models of several labels, and of numbers, know that "
        "they are. JSON keys: loss, top1, top5 (shares from 0 to 1; of several labels top1 is that of pictures with all right, of "
        "numbers null), count, unreadable, per_class (label, index, count, recall, precision, and of single classes top1 and loss).",
        "tvc eval mine.onnx photos/\n"
        "tvc eval mine.onnx photos/ --split test --json\n")
COMMAND(predict, "predict", "MODEL IMAGE|FOLDER ...", "what pictures show, one line each",
        "Prepared as the model's file says, or as the options say. Pictures that cannot be read are left out, with a note. Of "
        "several labels those that are likelier than not, of numbers all are told. JSON keys: file, and index, label and score; or "
        "labels, a list of these; or values.",
        "tvc predict mine.onnx holiday/\n"
        "tvc predict mine.onnx *.jpg --csv > shown.csv\n")
COMMAND(data, "data", "check PHOTOS", "look over a dataset before anything is learned from it",
        "PHOTOS is a folder with train/CLASS/* and val/CLASS/*, or with CLASS/*, or with idx files, or a list (.csv, "
        ".jsonl) of path, label and perhaps split. Told are pictures that cannot be read, empty classes, pictures that "
        "are both in train and in val, and what else is worth knowing; the exit code is 1 if something should be mended. JSON keys: "
        "train, val, classes (name, train, val), problems, unreadable (path, reason), duplicates, tiny, exif_rotated, grey, colour.",
        "tvc data check photos/\n"
        "tvc data check photos/ --json | jq .unreadable\n")
COMMAND(devices, "devices", "", "what this machine has to run models on",
        "The processor, GPUs, the driver and the compilers, and in plain words what is missing.",
        "tvc devices\n"
        "tvc devices --json | jq '.gpus[].target'\n")
COMMAND(completion, "completion", "bash|zsh|fish", "print a completion script for a shell",
        "Source what it prints from the shell's start-up file.",
        "tvc completion bash > ~/.local/share/bash-completion/completions/tvc\n"
        "tvc completion fish > ~/.config/fish/completions/tvc.fish\n")
COMMAND(man, "man", "", "print the manual page",
        "In roff, for man.",
        "tvc man | man -l -\n")
#undef COMMAND
#endif

#ifdef GROUP
GROUP(OUTPUT, "Output")
GROUP(SURGERY, "Editing")
GROUP(PICTURES, "Pictures")
GROUP(TRAINING, "Training")
GROUP(DATA, "Data")
GROUP(RUNNING, "Running")
GROUP(GENERAL, "General")
#undef GROUP
#endif

#ifdef OPTION
OPTION(OUT, "output", 'o', "FILE", OUTPUT, C_edit | C_new | C_compile | C_train,
       "where the result goes; an existing file is replaced when the new one is complete")
OPTION(JSON, "json", 0, NULL, OUTPUT,
       C_inspect | C_check | C_edit | C_new | C_compile | C_run | C_verify | C_compare | C_bench | C_data | C_LEARN | C_eval | C_predict | C_devices,
       "print the result as JSON")
OPTION(CSV, "csv", 0, NULL, OUTPUT, C_predict, "print the result as comma-separated values")
OPTION(TEXT, "text", 0, NULL, OUTPUT, C_inspect, "print the compiler's graph, one line a node")
OPTION(DOT, "dot", 0, NULL, OUTPUT, C_inspect, "print the model's graph for Graphviz")

OPTION(REPLACE_HEAD, "replace-head", 0, "N", SURGERY, C_edit | C_new | C_compile | C_check,
       "a new classifying layer for N classes; a feature extractor gets one appended")
OPTION(HEAD, "head", 0, "NAME", SURGERY, C_inspect | C_edit | C_compile | C_LEARN | C_check,
       "the node, value or weight that is the head, instead of the one found")
OPTION(HEAD_SCOPE, "head-scope", 0, "last|module", SURGERY, C_edit | C_compile | C_LEARN | C_check,
       "replace the last layer (default), or every layer back to the features")
OPTION(HEAD_HIDDEN, "head-hidden", 0, "N,N,...", SURGERY, C_edit | C_compile | C_LEARN | C_check,
       "hidden layers of these sizes before the new last layer, each followed by ReLU")
OPTION(HEAD_DROPOUT, "head-dropout", 0, "P", SURGERY, C_edit | C_compile | C_LEARN | C_check,
       "Dropout with this probability before each new layer but the first; without hidden layers before the head")
OPTION(DROP_AUX, "drop-aux", 0, NULL, SURGERY, C_edit | C_compile | C_check, "remove auxiliary heads and what only they need")
OPTION(SEED, "seed", 0, "N", SURGERY, C_edit | C_new | C_compile | C_data | C_LEARN | C_eval | C_check, "seed of everything random (default 0)")
OPTION(INPUT_CHANNELS, "input-channels", 0, "N", SURGERY, C_edit | C_new | C_compile,
       "change the first convolution to N channels, keeping the pretrained ones (1: their sum)")
OPTION(SIZE, "size", 0, "S", SURGERY, C_new, "for pictures of S x S pixels (default 224, small networks 32)")
OPTION(INPUT_INIT, "input-init", 0, "mean|zero|fresh", SURGERY, C_edit | C_compile,
       "what added channels start from (default: the mean of the pretrained ones)")
OPTION(CUT, "cut", 0, "VALUE", SURGERY, C_edit | C_compile | C_check, "end the model at this value: a feature extractor")
OPTION(EVAL, "eval", 0, NULL, SURGERY, C_edit | C_compile, "inference form: training_mode 0, extra outputs dropped")
OPTION(FREE_BATCH, "free-batch", 0, NULL, SURGERY, C_edit | C_compile, "make the batch free in the written file")
OPTION(FREEZE, "freeze", 0, "all|backbone|file|none|GLOB,...", SURGERY, C_edit | C_compile | C_LEARN | C_check,
       "parameters that training leaves alone: patterns of initializers, or of nodes; file: those that `edit --freeze` has "
       "listed in the file, frozen by every recipe")

OPTION(TRAIN, "train", 0, NULL, TRAINING, C_PLAN, "the training program, with the options and defaults of `tvc train`")
OPTION(RECIPE, "recipe", 0, "head|finetune|full", TRAINING, C_LEARN | C_PLAN,
       "what is chosen where nothing is said (default head). head: 20 epochs, adam, rate 0.003; finetune: 15 epochs, adamw, rate "
       "0.001, the head alone for a fifth of them; full: 30 epochs, sgd, rate 0.01, momentum 0.9; the schedule is cosine")
OPTION(EPOCHS, "epochs", 'e', "N", TRAINING, C_train, "how often every picture is seen")
OPTION(LR, "lr", 0, "X", TRAINING, C_LEARN | C_PLAN, "learning rate")
OPTION(OPTIMIZER, "optimizer", 0, "NAME[:KEY=X,...]", TRAINING, C_LEARN | C_PLAN,
       "sgd, adam, adamw, adamax, adadelta, adagrad, rmsprop or rprop; keys beta1, beta2, eps, rho, dampening, lr_decay, "
       "nesterov, amsgrad, centered")
OPTION(MOMENTUM, "momentum", 0, "X", TRAINING, C_LEARN | C_PLAN, "of sgd and rmsprop")
OPTION(WEIGHT_DECAY, "weight-decay", 0, "X", TRAINING, C_LEARN | C_PLAN, "as the optimizer means it")
OPTION(SCHEDULE, "schedule", 0, "NAME[:X,...]", TRAINING, C_train | C_PLAN,
       "constant, step:SIZE[,GAMMA], multi-step:E,E,...[,gamma=G], exponential:GAMMA, cosine[:LEAST], one-cycle[:MOST], "
       "plateau[:FACTOR[,PATIENCE]], formula:0.95^epoch")
OPTION(WARMUP_EPOCHS, "warmup-epochs", 0, "N", TRAINING, C_train, "epochs in which the rate grows linearly, before the schedule")
OPTION(GROUP, "group", 0, "GLOB:lr=X,...", TRAINING, C_LEARN | C_PLAN,
       "rates of their own for some parameters (patterns as of --freeze): lr, momentum, weight_decay; may repeat, the first that matches counts")
OPTION(UNFREEZE_AT, "unfreeze-at", 0, "EPOCH=GLOB", TRAINING, C_train, "train these too from this epoch on, counted as shown; patterns as of --freeze; may repeat")
OPTION(LOSS, "loss", 0, "cross-entropy|nll|bce|mse|l1", TRAINING, C_LEARN | C_eval | C_PLAN, "what is minimised (default: by the data)")
OPTION(LABEL_SMOOTHING, "label-smoothing", 0, "X", TRAINING, C_LEARN | C_PLAN, "of cross entropy")
OPTION(CLASS_WEIGHTS, "class-weights", 0, "auto|X,...", TRAINING, C_LEARN | C_PLAN, "of the loss; auto: the rarer the heavier")
OPTION(BN, "bn", 0, "auto|train|stats|frozen", TRAINING, C_LEARN | C_PLAN,
       "BatchNorm: auto freezes those whose scale or shift is frozen and trains the others")
OPTION(DROPOUT, "dropout", 0, "P", TRAINING, C_LEARN | C_PLAN, "Dropout with this probability before the new head, as --head-dropout")
OPTION(CLIP, "clip", 0, "X", TRAINING, C_LEARN | C_PLAN, "greatest norm of all gradients together")
OPTION(FROZEN_PRECISION, "frozen-precision", 0, "fp32|tf32|bf16|fp16", TRAINING, C_LEARN | C_PLAN,
       "the same of what is frozen before the first parameter that learns (default: as --precision)")
OPTION(LOSS_SCALE, "loss-scale", 0, "auto|auto:N|N", TRAINING, C_LEARN | C_PLAN,
       "the loss is multiplied by this on the way back, gradients divided again: auto begins at N (65536), halves it and skips "
       "the step where gradients overflow, doubles it after 2000 good steps (default: auto with --precision fp16, else none)")
OPTION(ACCUMULATE, "accumulate", 0, "N", TRAINING, C_LEARN | C_PLAN,
       "the gradients of N batches make one update, as one batch N times as large would")
OPTION(EMA, "ema", 0, "X", TRAINING, C_LEARN | C_PLAN, "keep averages of the weights, this share of them each step, and use those")
OPTION(AUX_WEIGHT, "aux-weight", 0, "X", TRAINING, C_LEARN | C_PLAN, "of auxiliary heads' losses (default 0.4 for one, 0.3 for more)")
OPTION(KEEP_HEAD, "keep-head", 0, NULL, TRAINING, C_LEARN, "go on with the head there is")
OPTION(INIT, "init", 0, "FILE", TRAINING, C_LEARN,
       "start from the weights of this ONNX file of the same structure, by their names")
OPTION(PATIENCE, "patience", 0, "N", TRAINING, C_train, "end after N epochs without a better one")
OPTION(CACHE_FEATURES, "cache-features", 0, "auto|off|K", TRAINING, C_LEARN,
       "what the frozen part makes of every picture is computed once and kept, for later runs too; K augmented views of it")
OPTION(CACHE_SIZE, "cache-size", 0, "GB", TRAINING, C_LEARN,
       "room on disk for what is kept, of all runs together (default 4); 0: in memory only")
OPTION(RUN_DIR, "run-dir", 0, "DIR", TRAINING, C_train, "folder of checkpoints and reports (default: OUT with .run for .onnx)")
OPTION(RESUME, "resume", 0, "DIR", TRAINING, C_train, "go on with the run in this folder")
OPTION(SAVE_EVERY, "save-every", 0, "SECONDS", TRAINING, C_train, "between checkpoints (default 30; 0: every step)")
OPTION(STOP_AT, "stop-at", 0, "N", TRAINING, C_train, "stop after N batches in all, as Ctrl-C does")

OPTION(FROM, "from", 0, "X", TRAINING, C_lr_find, "the first and least learning rate tried (default 1e-7)")
OPTION(TO, "to", 0, "X", TRAINING, C_lr_find, "the last and greatest one (default 10)")
OPTION(STEPS, "steps", 0, "N", TRAINING, C_lr_find, "how many are tried (default 100, at least 20)")

OPTION(PRESET, "preset", 0, "imagenet", PICTURES, C_PHOTOS, "how pictures are prepared, as a whole")
OPTION(RESIZE, "resize", 0, "S", PICTURES, C_PHOTOS, "scale the shorter side to S pixels")
OPTION(CROP, "crop", 0, "C", PICTURES, C_PHOTOS, "cut C x C pixels from the centre")
OPTION(INTERPOLATION, "interpolation", 0, "nearest|bilinear|bicubic|box|hamming|lanczos", PICTURES, C_PHOTOS,
       "filter for resizing (default bilinear)")
OPTION(ORDER, "order", 0, "rgb|bgr", PICTURES, C_PHOTOS, "order of the colour channels (default rgb)")
OPTION(SCALE, "scale", 0, "X", PICTURES, C_PHOTOS, "value = (pixel x scale - mean) / std (default 1/255)")
OPTION(MEAN, "mean", 0, "X,...", PICTURES, C_PHOTOS, "one, or one per channel")
OPTION(STD, "std", 0, "X,...", PICTURES, C_PHOTOS, "one, or one per channel")
OPTION(PIXELS, "pixels", 0, "auto|bytes|floats", PICTURES, C_run | C_LEARN | C_eval | C_predict,
       "what goes to the device: bytes, that it prepares and flips itself (default for a GPU), or prepared values; "
       "results are the same")
OPTION(EXIF, "exif", 0, "apply|ignore", PICTURES, C_PHOTOS, "orientation noted by the camera (default apply)")

OPTION(VAL_SPLIT, "val-split", 0, "X", DATA, C_data | C_LEARN | C_eval,
       "share of an undivided dataset that is kept for validation (default 0.2)")
OPTION(CLASSES, "classes", 0, "NAME,...", DATA, C_data | C_LEARN | C_eval, "only these classes, in this order")
OPTION(CLASS_NAMES, "class-names", 0, "FILE", DATA, C_data | C_LEARN | C_eval,
       "names of classes that PHOTOS only numbers, as idx files do: one a line, the first for 0")
OPTION(PER_CLASS, "per-class", 0, "N", DATA, C_data | C_LEARN, "learn from at most N pictures of each class, chosen by the seed")

OPTION(AUGMENT, "augment", 0, "none|basic|LIST", DATA, C_LEARN,
       "random changes of training pictures (default none for the head recipe, else basic): resized-crop, hflip, vflip, rotate(D), jitter(B, C, S, H), pad(N), crop ...")
OPTION(BALANCE, "balance", 0, NULL, DATA, C_LEARN, "every class equally often")
OPTION(SPLIT, "split", 0, "NAME", DATA, C_eval, "the split to take: train, val, test ...")
OPTION(WORKERS, "workers", 0, "N", DATA, C_LEARN | C_eval, "threads that decode pictures (default: one per processor)")

OPTION(INPUT, "input", 'i', "NAME=FILE", RUNNING, C_run | C_compare | C_bench,
       "an input's value, from .npy or .pb; may repeat")
OPTION(TOP, "top", 0, "K", RUNNING, C_run, "how many classes are shown (default 5)")
OPTION(LABELS, "labels", 0, "FILE", RUNNING, C_edit | C_compile | C_run | C_eval | C_predict, "names of the classes, one a line")
OPTION(VALUES, "values", 0, "GLOB", RUNNING, C_run, "inner values to keep, with --dump; may repeat")
OPTION(DUMP, "dump", 0, "DIR", RUNNING, C_run, "folder for outputs and values, as .npy")
OPTION(DEVICE, "device", 0, "auto|cpu|cuda|cuda:N|eval", RUNNING, C_SESSIONS | C_verify | C_compare,
       "where compiled kernels run (default: a GPU if there is one), or eval: the reference evaluator; for compare twice: "
       "of the first and the second")
OPTION(TARGET, "target", 0, "cpu|cpu:avx2|cpu:avx512|cpu:generic|cuda:ARCH", RUNNING, C_compile | C_run | C_verify | C_compare | C_bench | C_LEARN | C_eval | C_predict,
       "the processor to compile for (default: the device's), cuda:sm_90 for one; for a package several times")
OPTION(PRECISION, "precision", 0, "fp32|tf32|bf16|fp16", RUNNING, C_compile | C_run | C_verify | C_compare | C_bench | C_LEARN | C_eval | C_predict,
       "what a GPU multiplies with (default fp32); sums, parameters, statistics and losses are float32 in any case")
OPTION(CUBLAS, "cublas", 0, "auto|never|always", RUNNING, C_run | C_verify | C_compare | C_bench | C_LEARN | C_eval | C_predict,
       "which matrix products a GPU leaves to cuBLASLt: those it should be better at by their size (default), none, or all "
       "it takes; our own kernels do the rest, and everything where it is missing (TVC_CUBLASLT names it)")
OPTION(BATCH, "batch", 'b', "N|1..N", RUNNING, C_compile | C_run | C_verify | C_bench | C_LEARN | C_eval | C_predict | C_check,
       "N pictures at once, or up to N where the model's batch is free")
OPTION(SHAPE, "shape", 0, "NAME=1x3x320x320", RUNNING, C_inspect | C_edit | C_compile | C_run | C_verify | C_compare | C_bench | C_LEARN | C_eval | C_predict | C_check,
       "the size of an input that the model leaves open; may repeat")
OPTION(THREADS, "threads", 't', "N", RUNNING, C_compile | C_run | C_compare | C_bench | C_data | C_LEARN | C_eval | C_predict,
       "threads to use (default: one per processor)")
OPTION(RTOL, "rtol", 0, "X", RUNNING, C_verify | C_compare, "relative tolerance (default 1e-3)")
OPTION(ATOL, "atol", 0, "X", RUNNING, C_verify | C_compare, "absolute tolerance (default 1e-7; compare: 1e-4)")
OPTION(WARMUP, "warmup", 0, "N", RUNNING, C_bench, "inferences before the clock starts (default 5)")
OPTION(ITERATIONS, "iterations", 'n', "N", RUNNING, C_bench, "inferences timed (default 50)")
OPTION(PROFILE, "profile", 0, NULL, RUNNING, C_bench, "milliseconds and GFLOP/s of every kernel")
OPTION(SERVE, "serve", 0, NULL, RUNNING, C_bench, "one inference for each line `run` on stdin")
OPTION(DUMP_OUTPUT, "dump-output", 0, "FILE", RUNNING, C_bench, "the first output of the first inference, as .npy")

OPTION(QUIET, "quiet", 'q', NULL, GENERAL, C_ALL, "no messages but errors")
OPTION(VERBOSE, "verbose", 'v', NULL, GENERAL, C_ALL, "more messages")
OPTION(HELP, "help", 'h', NULL, GENERAL, C_ALL, "this text")
OPTION(VERSION, "version", 0, NULL, GENERAL, C_ALL, "the version of tvc")
#undef OPTION
#endif
