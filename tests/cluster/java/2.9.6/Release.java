/* SPDX-License-Identifier: Apache-2.0 */

import alluxio.AlluxioURI;
import alluxio.client.block.BlockWorkerInfo;
import alluxio.client.block.policy.BlockLocationPolicy;
import alluxio.client.block.policy.options.GetWorkerOptions;
import alluxio.client.block.stream.BlockWorkerClient;
import alluxio.client.file.FileOutStream;
import alluxio.client.file.FileSystem;
import alluxio.client.file.FileSystemContext;
import alluxio.client.file.URIStatus;
import alluxio.conf.AlluxioConfiguration;
import alluxio.conf.Configuration;
import alluxio.conf.InstancedConfiguration;
import alluxio.conf.PropertyKey;
import alluxio.grpc.CacheRequest;
import alluxio.grpc.CreateFilePOptions;
import alluxio.proto.dataserver.Protocol;
import alluxio.resource.CloseableResource;
import alluxio.wire.BlockInfo;
import alluxio.wire.FileBlockInfo;
import alluxio.wire.WorkerNetAddress;
import java.io.IOException;
import java.util.Optional;

/** What differs between releases, here for 2.9.6. */
final class Release {
  private static volatile String chosen = "";

  private Release() {}

  static InstancedConfiguration configuration() {
    return Configuration.copyGlobal();
  }

  /** The policy of a client whose blocks go to the worker that was chosen last. */
  public static final class Chosen implements BlockLocationPolicy {
    public Chosen(AlluxioConfiguration conf) {}

    @Override
    public Optional<WorkerNetAddress> getWorker(GetWorkerOptions options) {
      for (BlockWorkerInfo worker : options.getBlockWorkerInfos()) {
        if (ClusterShell.name(worker.getNetAddress()).equals(chosen)) {
          return Optional.of(worker.getNetAddress());
        }
      }
      return Optional.empty();
    }
  }

  /** A file whose blocks are written to `worker`, until another one is chosen. */
  static FileOutStream create(InstancedConfiguration conf, AlluxioURI uri, CreateFilePOptions options, String worker)
      throws Exception {
    InstancedConfiguration own = new InstancedConfiguration(conf.copyProperties());
    own.set(PropertyKey.USER_BLOCK_WRITE_LOCATION_POLICY, Chosen.class.getName());
    chosen = worker;
    return FileSystem.Factory.create(own).createFile(uri, options);
  }

  /** Has `worker` keep the blocks of a file too: copied from another worker, or read from the under-store. */
  static void cache(FileSystem files, AlluxioURI uri, String worker) throws Exception {
    URIStatus status = files.getStatus(uri);
    try (FileSystemContext context = FileSystemContext.create(files.getConf())) {
      WorkerNetAddress address = find(context, worker);
      for (FileBlockInfo info : status.getFileBlockInfos()) {
        CacheRequest request = request(status, info.getBlockInfo());
        try (CloseableResource<BlockWorkerClient> client = context.acquireBlockWorkerClient(address)) {
          client.get().cache(request);
        }
      }
    }
  }

  private static CacheRequest request(URIStatus status, BlockInfo block) {
    long index = status.getBlockIds().indexOf(block.getBlockId());
    CacheRequest.Builder request = CacheRequest.newBuilder()
        .setBlockId(block.getBlockId())
        .setLength(block.getLength())
        .setAsync(false)
        .setOpenUfsBlockOptions(Protocol.OpenUfsBlockOptions.newBuilder()
            .setUfsPath(status.getUfsPath())
            .setMountId(status.getMountId())
            .setOffsetInFile(index * status.getBlockSizeBytes())
            .setBlockSize(block.getLength())
            .setMaxUfsReadConcurrency(8));
    if (!block.getLocations().isEmpty()) {
      WorkerNetAddress source = block.getLocations().get(0).getWorkerAddress();
      request.setSourceHost(source.getHost()).setSourcePort(source.getDataPort());
    }
    return request.build();
  }

  private static WorkerNetAddress find(FileSystemContext context, String worker) throws IOException {
    for (BlockWorkerInfo info : context.getCachedWorkers()) {
      if (ClusterShell.name(info.getNetAddress()).equals(worker)) {
        return info.getNetAddress();
      }
    }
    throw new IOException("no such worker: " + worker);
  }
}
